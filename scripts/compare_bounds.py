"""The envelope bound beside α-CROWN of auto_LiRPA: same weights, same intervals, one run.

For every class, the largest logit over the pixel range [0, 1] is bounded three ways: by α-CROWN
(CROWN-Optimized, with the intervals that jaxbq proves given to it), by the envelope bound, and by
the quadratic one. Times are CPU seconds, those of compiling not counted.

    python scripts/compare_bounds.py digits.safetensors

needs PyTorch and auto_LiRPA 0.7 or newer (`pip install auto_LiRPA`).
"""

import argparse
import time
import warnings

import jax
import numpy as np

from jaxbq.certification.branching import Search
from jaxbq.certification.certificate import read_weights
from jaxbq.certification.verifier import Claim, Region, Weights, proven, root_intervals
from jaxbq.network.files import load_network

_ITERATIONS = 100


def crown(weights: Weights, intervals: tuple[np.ndarray, np.ndarray]) -> list[tuple[float, float]]:
    """Bound every logit by α-CROWN; returns bounds and CPU seconds."""
    import torch
    from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

    torch.set_default_dtype(torch.float64)
    pixels, units = weights.inner.shape
    first, last = torch.nn.Linear(pixels, units), torch.nn.Linear(units, len(weights.constants))
    arrays = (weights.inner.T, weights.bias, weights.outer.T, weights.constants)
    places = (first.weight, first.bias, last.weight, last.bias)
    for place, array in zip(places, arrays, strict=True):
        place.data = torch.tensor(array)
    middle = torch.full((1, pixels), 0.5)
    module = BoundedModule(torch.nn.Sequential(first, torch.nn.Sigmoid(), last), middle)
    options = {"iteration": _ITERATIONS, "lr_alpha": 0.1, "early_stop_patience": _ITERATIONS}
    module.set_bound_opts({"optimize_bound_args": options})
    ends = PerturbationLpNorm(x_L=torch.zeros_like(middle), x_U=torch.ones_like(middle))
    image = BoundedTensor(middle, ends)
    inputs = {node.name: node.inputs[0].name for node in module.nodes() if "Sigmoid" in str(node)}
    given = [torch.tensor(end)[None] for end in intervals]
    found = []
    for target in range(len(weights.constants)):
        row = torch.zeros(1, 1, len(weights.constants))
        row[0, 0, target] = 1
        begun = time.process_time()
        _, upper = module.compute_bounds(
            x=(image,),
            C=row,
            method="CROWN-Optimized",
            bound_lower=False,
            reference_bounds=dict.fromkeys(inputs.values(), given),
        )
        found.append((float(upper.detach()), time.process_time() - begun))
    return found


def ours(weights: Weights, target: int) -> list[tuple[float, float]]:
    """Bound a logit without and with a quadratic; returns bounds and CPU seconds of certify."""
    claim = Claim("logit", target, -1, 0.0, 1.0, "", 0.0, np.zeros(0))
    found = []
    for nodes in (1, 2):
        begun = time.process_time()
        tree = Search(weights, claim, 1e6, 0.0, nodes, 0).run()
        found.append((proven(weights, claim, tree), time.process_time() - begun))
    return found


def main() -> None:
    """Print a table."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="file that jaxbq saved, of one hidden layer of sigmoids")
    network = load_network(parser.parse_args().network, "float64")
    weights = read_weights(network.model, network.params)
    claim = Claim("logit", 0, -1, 0.0, 1.0, "", 0.0, np.zeros(0))
    intervals = root_intervals(weights, Region.of(claim, len(weights.inner)))
    theirs = crown(weights, intervals)
    print("class  alpha-CROWN      CPU s  envelope      CPU s  quadratic     CPU s")
    with jax.enable_x64(True):
        ours(weights, 0)  # compiles
        for target, (bound, seconds) in enumerate(theirs):
            rows = [(bound, seconds), *ours(weights, target)]
            print(f"{target:5}", *(f"{bound:12.4f} {seconds:9.2f}" for bound, seconds in rows))


if __name__ == "__main__":
    main()
