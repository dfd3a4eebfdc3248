"""Draw trained network and controls side by side, from the run folders of configs/controls.toml.

    python scripts/controls_figure.py RUNS controls.png

Prints how many classes the judge reads right, for every network.
"""

import sys
from collections import defaultdict
from pathlib import Path

from jaxbq.experiment import RunFolder
from jaxbq.experiment.folder import read_csv
from jaxbq.options import describe
from jaxbq.report import image_grid
from jaxbq.report.build import read_results
from jaxbq.report.figures import Row, save_figure
from jaxbq.weights import load_network

NAMES = {
    "none": "trained",
    "permuted_labels": "trained on\npermuted labels",
    "random_weights": "random weights",
}


def main() -> None:
    runs, picture = Path(sys.argv[1]), Path(sys.argv[2])
    rows, read = {}, defaultdict(list)
    for path in sorted(runs.glob("controls-*")):
        folder = RunFolder(path)
        config = folder.read_json("config.json")
        control, network = config["network"]["control"], load_network(folder.network())
        table = read_csv(folder.scores)
        for result in read_results(folder)[0]:
            name = describe(result.method)
            right = sum(row["judged_right"] == "1.0" for row in table if row["method"] == name)
            label = NAMES[control] if name == "whitened" else name
            read[label].append(right)
            if config["seed"] == 0 and (control == "none" or name == "whitened"):
                rows[label] = Row.of(result, network.class_names, label=label)
    for label, counts in read.items():
        name = " ".join(label.split())
        print(f"{name}: judge reads {counts}, mean {sum(counts) / len(counts):.1f} of 10")
    wanted = [*NAMES.values(), *(label for label in rows if label not in NAMES.values())]
    save_figure(image_grid([rows[n] for n in wanted], network.space, network.class_names), picture)


if __name__ == "__main__":
    main()
