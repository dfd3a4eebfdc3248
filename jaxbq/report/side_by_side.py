"""Many runs of one config in one picture a method."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..experiment import RunFolder, locked
from ..network.files import load_network
from ..runtime.files import clear_leftovers, make_folder
from .build import read_results
from .figures import Row, image_grid, save_figure


def draw_side_by_side(runs: Sequence[tuple[str, RunFolder]], where: Path) -> list[Path]:
    """Draw, for every method, its images of all runs, one row a run, of the first network of each.

    Args:
        runs: each with its label. Methods are matched by their place in the config.
        where: folder to write the pictures in; it is made.

    Returns:
        The pictures; none where the runs' images or targets are not of one shape.

    Raises:
        JaxbqError: a run is damaged, or the folder cannot be written.
    """
    results = [read_results(folder)[0] for _, folder in runs]
    networks = [load_network(folder.network()) for _, folder in runs]
    both = zip(networks, results, strict=True)
    shapes = {(n.space, n.class_names, own[0].targets.shape) for n, own in both}
    if len(shapes) > 1:
        return []
    make_folder(where)
    # Named after what is in them: other runs of the same config get pictures of their own.
    names = " ".join(folder.path.name for _, folder in runs)
    stem = (
        f"{runs[0][1].path.name.rsplit('-', 1)[0]}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
    )
    pictures = []
    # Drawing takes seconds: another set of runs waits for it.
    with locked(where, wait=True) as alone:
        if alone:
            clear_leftovers(where)
        for number, same in enumerate(zip(*results, strict=False)):
            rows = [
                Row.of(result, networks[0].class_names, label=label.replace(", ", "\n"))
                for (label, _), result in zip(runs, same, strict=True)
            ]
            kind = same[0].method.kind
            pictures.append(where / f"{stem}-{number:02d}-{kind}.png")
            save_figure(image_grid(rows, networks[0].space, networks[0].class_names), pictures[-1])
    return pictures
