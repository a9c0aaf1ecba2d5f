# Solves a system of linear equations, A x = b.
#
#   npx ol-admin invoke numpy -d '{"A": [[3, 1], [1, 2]], "b": [9, 8]}'
import numpy as np


def f(event):
    a = np.array(event["A"], dtype=float)
    b = np.array(event["b"], dtype=float)
    try:
        x = np.linalg.solve(a, b)
    except np.linalg.LinAlgError as error:
        return {"error": str(error)}
    return {"x": x.tolist(), "condition": float(np.linalg.cond(a))}
