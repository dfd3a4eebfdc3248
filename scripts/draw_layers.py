"""Draw which room of the package imports which, for docs/architecture.md.

    python scripts/draw_layers.py [FILE]        # by default docs/images/layers.png

A dot in a room's row: its files import from the room of that column; larger for more files. Rooms
stand from the bottom up and import only from those below, so every dot is left of the diagonal.
"""

import sys
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PROJECT = Path(__file__).parents[1]
# The test that holds the project to this order has it, and reads the imports.
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]
from test_layers import LAYERS, imported_files, modules, room  # noqa: E402


def main() -> None:
    lines: Counter[str] = Counter()
    imports: Counter[tuple[str, str]] = Counter()
    for path in modules():
        source = path.read_text(encoding="utf-8")
        lines[room(path)] += len(source.splitlines())
        others = {room(file) for file in imported_files(path, source)} - {room(path)}
        imports.update((room(path), other) for other in others)
    figure, axes = plt.subplots(figsize=(7.2, 5.6), layout="constrained")
    for (own, other), number in imports.items():
        place = LAYERS.index(other), LAYERS.index(own)
        axes.scatter(*place, s=12 + 14 * number, color="#2a6f97", zorder=3)
    for place, name in enumerate(LAYERS):
        axes.hlines(place, -0.6, len(LAYERS) - 0.5, color="#e5e5e5", linewidth=0.8)
        axes.vlines(place, -0.6, len(LAYERS) - 0.5, color="#e5e5e5", linewidth=0.8)
        axes.scatter(place, place, s=90, marker="s", color="#d0d0d0", zorder=2)
        axes.text(len(LAYERS) + 0.6, place, f"{lines[name]:,}", va="center", ha="right")
    axes.text(len(LAYERS) + 0.6, len(LAYERS) - 0.3, "lines of Python", ha="right", color="#666666")
    axes.set_xticks(range(len(LAYERS)), LAYERS, rotation=40, ha="right")
    axes.set_yticks(range(len(LAYERS)), LAYERS)
    axes.set_xlim(-0.6, len(LAYERS) + 0.7)
    axes.set_ylim(-0.6, len(LAYERS))
    axes.set_xlabel("imports from")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "docs" / "images" / "layers.png"
    figure.savefig(target, dpi=160, metadata={"Software": None})
    print(target)


if __name__ == "__main__":
    main()
