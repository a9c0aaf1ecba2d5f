"""A package that has a part of it beside it, as psycopg has."""

import ol_part_of_it as part
