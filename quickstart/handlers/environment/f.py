# Settings from ol.yaml, and the second parameter: what is known about the call.
#
#   npx ol-admin invoke environment
import os


def f(event, context):
    return {
        "greeting": os.environ["GREETING"],
        "answer": int(os.environ["ANSWER"]),
        "invocation": context.invocation_id,
    }
