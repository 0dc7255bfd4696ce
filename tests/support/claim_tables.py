"""Tables as claims make them, with a difference between methods that is known beforehand."""

import itertools

import pandas as pd

NETWORKS = ("small ViT", "small ResNet")
SEEDS = (0, 1, 2)


def rows(values, column, methods_in="method", **more):
    """A row for each network, seed and method: the method's value, some noise of the seed, and what else is given."""
    found = []
    for network, seed, (method, value) in itertools.product(NETWORKS, SEEDS, values.items()):
        noise = 0.01 * seed * (1 + len(method) / 100)
        found.append({"network": network, methods_in: method, "seed": seed, column: value + noise, **more})
    return pd.DataFrame(found)


def verdicts(findings):
    return {finding.statement: finding.verdict for finding in findings}
