from matplotlib.image import imread
from test_experiment import Quiet, config  # noqa: F401

from jaxbq.experiment import load_config, run
from jaxbq.experiment.finished import Run
from jaxbq.report import draw_side_by_side


def test_one_picture_a_method_one_row_a_run(config, tmp_path):  # noqa: F811
    runs = [
        (f"seed {n}", Run(run(load_config(config, [f"seed={n}"]), tmp_path / "runs", Quiet()).path))
        for n in range(2)
    ]
    pictures = draw_side_by_side(runs, tmp_path / "pictures")
    assert [p.name.split("-", 2)[2] for p in pictures] == ["01-transpose.png", "02-ascent.png"]
    both, one = imread(pictures[0]), imread(draw_side_by_side(runs[:1], tmp_path / "one")[0])
    assert both.shape[0] > 1.5 * one.shape[0]
    assert both.shape[1] == one.shape[1]


def test_runs_with_other_targets_are_not_drawn(config, tmp_path):  # noqa: F811
    runs = [
        ("all", Run(run(load_config(config), tmp_path, Quiet()).path)),
        ("one", Run(run(load_config(config, ["targets.classes=[1]"]), tmp_path, Quiet()).path)),
    ]
    assert draw_side_by_side(runs, tmp_path / "pictures") == []
