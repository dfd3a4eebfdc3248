"""Images of a user's own, of another size and number of classes, through everything there is."""

import json
import shutil

import numpy as np
import problems
import pytest
from test_experiment import Quiet

from jaxbq.cli import main
from jaxbq.data import Dataset, Images, ImageSpace
from jaxbq.diagnosis import trace
from jaxbq.experiment import load_config, run
from jaxbq.experiment.finished import open_run
from jaxbq.experiment.folder import read_csv
from jaxbq.methods import Transpose, invert
from jaxbq.network.files import NetworkFile, load_network, save_network
from jaxbq.network.mlp import MLP
from jaxbq.network.targets import Codes
from jaxbq.report import build, plot, trace_figure

CONFIG = """
name = "own"
scores = "quick"
data = {{ kind = "images", path = "{folder}", test_share = 0.25 }}
network = {{ hidden = [6] }}
training = {{ epochs = 3, batch_size = 16 }}
methods = [
  {{ kind = "transpose" }},
  {{ kind = "pseudo_inverse", pixel_policy = "clip", hidden_policy = "clip" }},
  {{ kind = "preimage", start = "images", max_iterations = 20 }},
  {{ kind = "ascent", steps = 6, restarts = 2, path = [0, 6], transforms = ["jitter", "blur"], \
     regularisers = [{{ kind = "total_variation", weight = 0.1 }}] }},
  {{ preset = "whitened", steps = 5 }},
  {{ kind = "ascent", label = "frequencies", parameterisation = "fourier", steps = 3 }},
  {{ kind = "exemplars", k = 2 }},
  {{ kind = "exemplar_mean", k = 3 }},
  {{ kind = "class_mean" }},
  {{ kind = "grey" }},
  {{ kind = "noise" }},
  {{ kind = "decoder", hidden = [8], epochs = 2, batch_size = 16 }},
]
"""


@pytest.mark.slow
def test_an_image_folder_goes_through_every_method_table_and_figure(tmp_path):
    folder = problems.write_image_folder(tmp_path / "own", per_class=12)
    (folder / "arch").rename(folder / "<b>$^[red]")
    path = tmp_path / "own.toml"
    path.write_text(CONFIG.format(folder=folder))
    done = run(load_config(path), tmp_path / "runs", Quiet())
    network = load_network(done.network())
    assert network.class_names == ("2", "9", "10", "<b>$^[red]")
    assert network.space == ImageSpace((9, 6))
    assert network.model.sizes == (54, 6, 4)
    for saved in sorted(done.inversions.glob("0/*.npz")):
        with np.load(saved) as file:
            assert file["images"].shape[::2] == (4, 54)
            assert file["outputs"].shape[::2] == (4, 4)
            assert np.isfinite(file["images"]).all()
    means = np.load(next(done.inversions.glob("0/*class_mean.npz")))["images"][:, 0]
    assert means.reshape(4, 9, 6).mean(axis=2).argmax(axis=1).tolist() == [0, 2, 4, 6]
    rows = read_csv(done.scores)
    assert {row["intended"] for row in rows} == {"0", "1", "2", "3"}
    opened = open_run(done.path)
    build(opened)
    assert opened.overview["targets"].tolist() == [4] * 12
    assert opened.images("class_mean").shape == (1, 4, 1, 9, 6)
    assert {"images.png", "path-04.gif", "path-04.png", "samples-07.png", "training.png"} <= {
        figure.name for figure in done.figures.iterdir()
    }
    # The data is recognised as the same wherever it lies and whenever it is read.
    shutil.copytree(folder, tmp_path / "copy")
    known = json.loads((done.path / "environment.json").read_text())["data_sha256"]
    path.write_text(CONFIG.format(folder=tmp_path / "copy"))
    other = run(load_config(path, ["training.epochs=1"]), tmp_path / "runs", Quiet())
    assert json.loads((other.path / "environment.json").read_text())["data_sha256"] == known


@pytest.fixture
def coloured(tmp_path, rng, monkeypatch):
    """A folder of coloured images, and a file of a network for them."""
    monkeypatch.chdir(tmp_path)
    problems.write_image_folder(tmp_path / "own", per_class=4)
    model, params = problems.random_network((9 * 6 * 3, 5, 4), rng)
    names = ("2", "9", "10", "arch")
    file = NetworkFile(model, params, ImageSpace((9, 6, 3)), names)
    save_network(tmp_path / "net.safetensors", file)
    return file


def test_coloured_images_are_traced_and_drawn(coloured, tmp_path):
    data = Images(path="own", grey=False).load()
    targets = Codes(classes=(1, 3)).targets(4)
    model, params = coloured.model, coloured.params
    result = invert(Transpose(), model, params, targets, reference=data)
    panels = plot(result, tmp_path / "a.png", class_names=coloured.class_names).axes
    assert panels[0].images[0].get_array().shape == (9, 6, 3)
    found = trace(Transpose(), model, params, targets[0], reference=data)
    assert trace_figure(found).axes[-1].images[0].get_array().shape == (9, 6, 3)


@pytest.mark.parametrize("source", ["own", "own.npz"])
def test_the_command_line_takes_a_folder_and_a_file_of_arrays(coloured, tmp_path, capsys, source):
    data = Images(path="own", grey=False).load()
    # Some of the network's classes, named by what they are called.
    kept = data.train_labels != 2
    names = np.array(data.class_names)[data.train_labels[kept]]
    np.savez("own.npz", images=data.train_images[kept], labels=names)
    arguments = ["invert", "net.safetensors", "--method", "class_mean", "--data", source]
    assert main([*arguments, "--target", "9", "--out", "a.npz", "--figure", "a.png"]) == 0
    images = np.load("a.npz")["images"].reshape(9, 6, 3)
    assert images.mean(axis=(1, 2)).argmax() == 2
    assert (tmp_path / "a.png").exists()
    assert main([*arguments[:-1], "nowhere"]) != 0
    assert "nowhere: no such folder or file; name mnist-10k" in capsys.readouterr().err


def test_one_output_more_or_less_is_no_matter(rng):
    """Two classes and 23, images of 3 × 3 and of one row."""
    for classes, shape in ((2, (3, 3)), (23, (1, 7))):
        pixels = int(np.prod(shape))
        images = rng.random((classes * 3, pixels))
        data = Dataset.from_arrays(images, np.arange(classes * 3) % classes)
        assert data.image_shape == shape
        model = MLP((pixels, 4, classes))
        _, params = problems.random_network(model.sizes, rng)
        result = invert(Transpose(), model, params, Codes().targets(classes), reference=data)
        figure = plot(result)
        assert len(figure.axes[0].images) == classes
