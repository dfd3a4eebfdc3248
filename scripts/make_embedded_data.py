"""Make the embedded MNIST-10k from the full MNIST.

    python scripts/make_embedded_data.py FOLDER-OF-IDX-FILES

Draws 10,000 training and 2,000 test images so that every class keeps its share, in file order,
with a fixed seed, and writes them as gzipped IDX into jaxbq/data/mnist-10k.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

from jaxbq.data.mnist import read_idx

TARGET = Path(__file__).parent.parent / "jaxbq" / "data" / "mnist-10k"
SPLITS = {"train": 10_000, "t10k": 2_000}
SEED = 0


def stratified(labels: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Draw indices so that class shares are kept: largest remainders fill what rounding left."""
    counts = np.bincount(labels)
    exact = counts * wanted / len(labels)
    take = np.floor(exact).astype(int)
    take[np.argsort(take - exact, kind="stable")[: wanted - take.sum()]] += 1
    drawn = [
        rng.choice(np.flatnonzero(labels == label), number, replace=False)
        for label, number in enumerate(take)
    ]
    return np.sort(np.concatenate(drawn))


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    # mtime=0 and no name: the same images give the same file.
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0))


def main(folder: Path) -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    for split, wanted in SPLITS.items():
        names = [f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"]
        images, labels = (read_idx(folder / name) for name in names)
        chosen = stratified(labels, wanted, rng)
        for name, array in zip(names, (images, labels), strict=True):
            write_idx(TARGET / name, array[chosen])
    total = sum(path.stat().st_size for path in TARGET.glob("*.gz"))
    print(f"wrote {TARGET}: {total:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
