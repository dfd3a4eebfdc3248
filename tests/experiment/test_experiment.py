import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import problems
import pytest

from jaxbq.data import ImageSpace
from jaxbq.diagnosis import trace
from jaxbq.errors import JaxbqError
from jaxbq.experiment import (
    Experiment,
    RunFolder,
    Scoring,
    load_config,
    load_configs,
    run,
    train_network,
)
from jaxbq.experiment.folder import read_csv
from jaxbq.experiment.reading import apply_change
from jaxbq.methods import Ascent, Transpose
from jaxbq.network.files import NetworkFile, load_network, save_network

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG = """
name = "small"
scores = "quick"
[data]
kind = "idx"
path = "{folder}"
[network]
hidden = [8]
[training]
epochs = 4
batch_size = 16
[[methods]]
kind = "transpose"
[[methods]]
kind = "ascent"
steps = 20
restarts = 2
"""


class Quiet:
    """A listener that only takes note."""

    def __init__(self, stop_at=None):
        self.lines, self.epochs, self.stop_at = [], 0, stop_at

    def say(self, text):
        self.lines.append(text)

    def epoch(self, metrics, epochs, name="training"):
        self.epochs += 1

    def progress(self, what, done, total):
        if self.stop_at and what.startswith(self.stop_at):
            raise KeyboardInterrupt


class Small(NamedTuple):
    """A finished run of the small config.

    Args:
        place: holds data, small.toml, and runs; other tests copy it.
        listener: heard how it went.
    """

    place: Path
    listener: Quiet


def write_small(place):
    """Write the small config and its data.

    The path of the data is relative: the same config, whose digest names the run folder, in
    every place.
    """
    problems.write_idx_folder(place / "data")
    path = place / "small.toml"
    path.write_text(CONFIG.format(folder="data"))
    return path


def small_run(place):
    listener = Quiet()
    with contextlib.chdir(place):
        run(load_config(write_small(place)), place / "runs", listener)
    return Small(place, listener)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The small config, beside its data, in what is made the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_small(tmp_path)


@pytest.fixture
def done(config, tmp_path, small):
    """The finished run of the config in runs, a copy that a test may change."""
    shutil.copytree(small.place / "runs", tmp_path / "runs")
    folder = RunFolder.of(load_config(config), tmp_path / "runs")
    assert folder.path.exists()
    return folder


def test_a_run_leaves_everything(done, small):
    folder = done
    assert small.listener.epochs == 4
    files = sorted(str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file())
    assert files == [
        "config.json",
        "cost.csv",
        "environment.json",
        "inversions/0/01-transpose.json",
        "inversions/0/01-transpose.npz",
        "inversions/0/02-ascent.json",
        "inversions/0/02-ascent.npz",
        "judges.json",
        "naturalness.json",
        "nearest.npz",
        "networks/0.history.csv",
        "networks/0.safetensors",
        "scores.csv",
        "spread.csv",
        "timing.json",
        "traces.json",
        "transfer.json",
    ]
    used = json.loads((folder.path / "config.json").read_text())["methods"][1]["optimiser"]
    assert used["learning_rate"] == Ascent().optimiser.learning_rate
    environment = json.loads((folder.path / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert len(environment["data_sha256"]) == 64


def test_scores_are_those_of_the_saved_images(done):
    folder = done
    network = load_network(folder.network())
    rows = read_csv(folder.scores)
    assert len(rows) == 3 + 3 * 2
    images = np.load(folder.inversions / "0/02-ascent.npz")["images"]
    for row in rows[3:]:
        target, sample = int(row["target"]), int(row["sample"])
        output = np.asarray(network.model.apply(network.params, images[target, sample][None]))[0]
        wanted = np.where(np.arange(3) == target, 0.99, 0.01)
        assert float(row["largest_error"]) == pytest.approx(abs(output - wanted).max(), abs=1e-5)
        assert row["right"] == str(output.argmax() == target)
        assert int(row["pixels_outside"]) == 0


def contents(folder: RunFolder):
    """Everything that a config determines: all but wall times and the environment."""
    found = {}
    for path in sorted(folder.path.rglob("*")):
        if path.suffix in (".npz", ".safetensors") or path.name in ("scores.csv", "config.json"):
            found[path.name] = path.read_bytes()
    return found


def test_the_same_config_gives_the_same_bits(config, done, tmp_path):
    again = run(load_config(config), tmp_path / "again", Quiet())
    assert again.path.name == done.path.name
    assert contents(again) == contents(done)
    other = run(load_config(config, ["seed=1"]), tmp_path / "runs", Quiet())
    assert other.path != done.path
    assert contents(other)["02-ascent.npz"] != contents(done)["02-ascent.npz"]


def test_a_stopped_run_is_finished_by_the_same_command(config, done, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(load_config(config), tmp_path / "cut", Quiet(stop_at="ascent"))
    cut = RunFolder.of(load_config(config), tmp_path / "cut")
    assert [p.name for p in cut.inversions.glob("0/*.npz")] == ["01-transpose.npz"]
    listener = Quiet()
    run(load_config(config), tmp_path / "cut", listener)
    assert listener.epochs == 0
    assert "network: trained already" in listener.lines
    assert "transpose: done already" in listener.lines
    assert contents(cut) == contents(done)


def test_a_second_run_writes_nothing_again(config, done, tmp_path):
    def written():
        return {p: p.stat().st_mtime_ns for p in done.path.rglob("*") if p.is_file()}

    before, listener = written(), Quiet(stop_at="ascent")
    run(load_config(config), tmp_path / "runs", listener)
    assert written() == before
    assert listener.epochs == 0
    assert not any(line.startswith("scoring") for line in listener.lines)


@pytest.mark.usefixtures("done")
def test_other_data_under_the_same_config_is_noticed(config, tmp_path):
    images, _ = problems.striped_bytes(40, 99)
    problems.write_idx(tmp_path / "data" / "train-images-idx3-ubyte", images)
    with pytest.raises(JaxbqError, match="started with other data"):
        run(load_config(config), tmp_path / "runs", Quiet())


def test_float64_is_used_when_asked_for(config, tmp_path):
    only = 'methods=[{kind="ascent", steps=20, restarts=2}]'
    experiment = load_config(config, ["precision=float64", only])
    folder = run(experiment, tmp_path / "runs", Quiet())
    assert np.load(folder.inversions / "0/01-ascent.npz")["images"].dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_divergence_keeps_the_last_good_weights(config, tmp_path):
    changes = ["network.output=identity", "network.activation=leaky_relu"]
    changes += ["training.loss=squared_error", "training.optimiser.name=sgd"]
    changes += ["training.optimiser.learning_rate=30.0", "training.epochs=50"]
    with pytest.raises(JaxbqError, match=r"diverged in epoch.*0.last-good.safetensors"):
        run(load_config(config, changes), tmp_path / "runs", Quiet())
    kept = next((tmp_path / "runs").rglob("0.last-good.safetensors"))
    assert load_network(kept).model.output == "identity"
    assert not list((tmp_path / "runs").rglob("0.safetensors"))


def test_training_alone_gives_the_network_of_a_run(config, done, tmp_path):
    save = tmp_path / "net.safetensors"
    history = train_network(load_config(config), save, Quiet())
    assert len(history) == 4
    assert save.read_bytes() == done.network().read_bytes()


def test_a_method_that_cannot_work_is_refused_before_training(config, tmp_path):
    listener = Quiet()
    with pytest.raises(JaxbqError, match="relu has no inverse"):
        run(load_config(config, ["network.activation=relu"]), tmp_path / "runs", listener)
    assert listener.epochs == 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_as_a_user(config, tmp_path):
    tmp_path.joinpath("runs").mkdir(mode=0o500)
    with pytest.raises(JaxbqError, match="cannot write"):
        run(load_config(config), tmp_path / "runs", Quiet())


def test_a_file_in_place_of_the_output_folder(config, tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(JaxbqError, match="cannot write"):
        run(load_config(config), tmp_path / "runs", Quiet())


@pytest.mark.parametrize("name", ["inversions/0/01-transpose.npz", "environment.json"])
def test_damaged_files_are_named(config, done, tmp_path, name):
    (done.path / name).write_bytes(b"damaged")
    with pytest.raises(JaxbqError, match=rf"{name}: damaged.*delete it and run again"):
        run(load_config(config), tmp_path / "runs", Quiet())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["nmae=x"], "nmae: unknown key; did you mean 'name'?"),
        (["name=../up"], "name: string should match pattern"),
        (["network.hiden=[3]"], "network.hiden: unknown key; did you mean 'hidden'?"),
        (["network.hidden=[0]"], "network.hidden.0: input should be greater than 0"),
        (["network.output=softmx"], "network.output: no activation 'softmx'"),
        (["training.rule=books"], "training: unknown rule 'books'; did you mean 'book'?"),
        (["training.epochs=1.5"], "training.epochs: "),
        (["training.optimiser.learning_rat=1"], "training.optimiser.learning_rat: unknown key"),
        (["data.kind=mnst"], "data: unknown kind 'mnst'; did you mean 'mnist'?"),
        (["methods.0.kind=transposed"], "methods.0: unknown kind 'transposed'; did you mean"),
        (["methods.1.step=3"], "methods.1.step: unknown key; did you mean 'steps'?"),
        (["methods=[]"], "no methods"),
        (["methods.1.kind=transpose", "methods.1={kind='transpose'}"], "methods.1 is the same as"),
        (["seed=-1"], "seed: input should be greater than or equal to 0"),
        (["targets.classes=[-1]"], "targets.classes.0"),
        (["training.epochs"], "--set training.epochs: write it as key=value"),
        (["methods.7.steps=1"], "'7' is no index from 0 to 1"),
        (["name.x=1"], "name"),
    ],
)
def test_mistakes_in_a_config(config, changes, message):
    with pytest.raises(JaxbqError) as caught:
        load_config(config, changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_that_is_no_toml(tmp_path):
    path = tmp_path / "x.toml"
    with pytest.raises(JaxbqError, match="no such file"):
        load_config(path)
    for content in (b"name = ", b"\xff\xfe", b"[" * 5000):
        path.write_bytes(content)
        with pytest.raises(JaxbqError, match="cannot be read as TOML"):
            load_config(path)
    with pytest.raises(JaxbqError, match=r"cannot be read \(Is a directory\); name a TOML file"):
        load_config(tmp_path)
    np.savez(tmp_path / "net.npz", W0=np.ones((4, 3)))
    with pytest.raises(JaxbqError, match=r'network = "file:net\.npz", or in other commands'):
        load_config(tmp_path / "net.npz")
    path.write_bytes(b"#" * 2**21)
    with pytest.raises(JaxbqError, match="too large"):
        load_config(path)


def test_changes_are_toml_values_or_strings():
    table = {"a": {"b": 1}, "methods": [{"kind": "x"}], "optimiser": "adam"}
    for change in ("a.b=2.5", "c.d=[1, 2]", "methods.0.kind=ascent", "e='q'", "f = true"):
        apply_change(table, change)
    apply_change(table, "optimiser.learning_rate=0.1")
    assert table == {
        "a": {"b": 2.5},
        "c": {"d": [1, 2]},
        "methods": [{"kind": "ascent"}],
        "e": "q",
        "f": True,
        "optimiser": {"name": "adam", "learning_rate": 0.1},
    }


def test_a_sweep_is_every_combination(config):
    config.write_text(
        config.read_text()
        + """
[sweep]
"network.activation" = ["sigmoid", "tanh"]
"methods.1.steps" = [5, 6, 7]
"""
    )
    found = load_configs(config, ["seed=4"])
    assert [what for what, _ in found[:2]] == [
        "activation=sigmoid, steps=5",
        "activation=sigmoid, steps=6",
    ]
    assert {(e.network.activation, e.methods[1].steps) for _, e in found} == {
        (name, steps) for name in ("sigmoid", "tanh") for steps in (5, 6, 7)
    }
    assert {e.seed for _, e in found} == {4}
    assert len({e.digest for _, e in found}) == 6
    with pytest.raises(JaxbqError, match="has a sweep"):
        load_config(config)
    with pytest.raises(JaxbqError, match="sweep must hold lists"):
        load_configs(config, ["sweep=3"])
    with pytest.raises(
        JaxbqError, match=r"network.activation: no activation 'tan'; known: sigmoid"
    ):
        load_configs(config, ['sweep={"network.activation"=["tan"]}'])


def test_without_a_sweep_there_is_one_experiment(config):
    assert load_configs(config) == [("", load_config(config))]


def test_the_digest_changes_with_every_option():
    base = Experiment(methods=(Transpose(),))
    others = [
        dataclasses.replace(base, seed=1),
        dataclasses.replace(base, methods=(Transpose(), Ascent())),
        dataclasses.replace(base, methods=(Transpose(hidden_range=(0.02, 0.99)),)),
    ]
    assert len({each.digest for each in (base, *others)}) == 4
    assert Experiment(methods=(Transpose(),)).digest == base.digest


EXPERIMENTS = sorted(CONFIGS.rglob("*.toml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_configs_of_the_project_are_valid_and_say_what_to_expect(path):
    assert {each.name for _, each in load_configs(path)} == {path.stem}
    head = path.read_text().splitlines()
    assert head[0] == f"# jaxbq run {path.relative_to(CONFIGS).with_suffix('').as_posix()}"
    assert head[1].startswith("# Shows: ")
    assert any(line.startswith("# Expect: ") for line in head[2:5])
    assert any(line.startswith("# Time: ") for line in head[3:7])


def test_a_method_can_be_swept(config):
    text = config.read_text()
    config.write_text(
        text
        + """
[[methods]]
preset = "whitened"
sweep = { "regularisers.0.weight" = [0.5, 2], steps = [5, 6] }
"""
    )
    methods = load_config(config).methods[2:]
    found = [(m.regularisers[0].weight, m.steps) for m in methods]
    assert found == [(0.5, 5), (0.5, 6), (2.0, 5), (2.0, 6)]
    for bad, message in (
        ("sweep = 3", "sweep must hold lists"),
        ('sweep = { "regularisers.4.weight" = [1.0] }', "'4' is no index"),
        ("sweep = { stepz = [1] }", "stepz: unknown key"),
    ):
        config.write_text(text + f'[[methods]]\npreset = "whitened"\n{bad}\n')
        with pytest.raises(JaxbqError, match=message):
            load_config(config)
    config.write_text(text + '[[methods]]\npreset = "white"\nsweep = { steps = [5] }\n')
    with pytest.raises(JaxbqError, match="unknown preset 'white'"):
        load_config(config)


def test_a_swept_method_resumes_to_the_same_bits(config, tmp_path):
    with config.open("a") as file:
        file.write('sweep = { "optimiser.learning_rate" = [0.1, 0.2] }\n')
    experiment = load_config(config)
    folder = run(experiment, tmp_path / "runs", Quiet())
    swept = [folder.inversions / "0" / name for name in ("02-ascent.npz", "03-ascent.npz")]
    whole = [path.read_bytes() for path in swept]
    assert whole[0] != whole[1]
    swept[0].unlink()
    run(experiment, tmp_path / "runs", Quiet())
    assert [path.read_bytes() for path in swept] == whole


@pytest.mark.slow
def test_judges_and_panel_read_every_image(config, tmp_path):
    network = tmp_path / "own.safetensors"
    train_network(load_config(config, ["seed=5"]), network, Quiet())
    changes = ["scores=full", f"scores.network={network}"]
    folder = run(load_config(config, changes), tmp_path, Quiet())
    rows = read_csv(folder.scores)
    assert {row["given_reads"] for row in rows} <= {"0", "1", "2"}
    able = "dense", "convolutional", "neighbour"
    assert {row[f"{name}_reads"] for row in rows for name in able} <= {"-1", "0", "1", "2"}
    for row in rows:
        right = [row[f"{name}_reads"] == row["intended"] for name in able]
        assert float(row["readability"]) == pytest.approx(np.mean(right))
        assert float(row["accepted"]) >= float(row["readability"])
        assert float(row["evidence"]) in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
        assert 0 <= float(row["judge_probability"]) <= 1
        assert 0 <= float(row["transfer_probability"]) <= 1
        assert float(row["autoencoder_residual"]) >= 0
    judges = folder.read_json("judges.json")
    assert [judge["name"] for judge in judges] == [
        *able,
        "blind_dense",
        "blind_convolutional",
        "given",
    ]
    assert all(judge["noise_accepted"] == 1 for judge in judges[3:])
    assert all(0 <= judge["noise_right"] <= 1 for judge in judges)
    assert len(folder.read_json("transfer.json")) >= 3


def test_a_judge_of_other_images_is_refused(config, tmp_path):
    network = problems.random_network((12, 4, 3), np.random.default_rng(0))
    save_network(
        tmp_path / "w.safetensors", NetworkFile(*network, ImageSpace((3, 4)), ("a", "b", "c"))
    )
    changes = [f"scores.network={tmp_path / 'w.safetensors'}"]
    with pytest.raises(JaxbqError, match=r"images have shape \(3, 4\), those of the data \(6, 5\)"):
        run(load_config(config, changes), tmp_path / "runs", Quiet())


def test_controls_are_networks_that_have_learnt_nothing(config, done, tmp_path):
    names = ["permuted_labels", "random_weights"]
    listener = Quiet()
    folder = run(load_config(config, [f"controls={names}"]), tmp_path / "one", listener)
    assert listener.epochs == 8
    rows = read_csv(folder.scores)
    assert list(dict.fromkeys(row["network"] for row in rows)) == ["0", *names]
    # Each is what the config with this control alone gives.
    alone = {
        name: run(load_config(config, [f"network.control={name}"]), tmp_path / "two", Quiet())
        for name in names
    }
    for name, single in alone.items():
        assert folder.network(name).read_bytes() == single.network().read_bytes()
        same = [{**row, "network": "0"} for row in rows if row["network"] == name]
        assert same == read_csv(single.scores)
    assert alone["random_weights"].read_history() == []
    first = load_network(alone["random_weights"].network()).params[0]
    # As it was drawn: N(0, 1/30), and no bias moved.
    assert np.asarray(first.weight).std() == pytest.approx(30**-0.5, rel=0.2)
    assert not np.asarray(first.bias).any()
    permuted, trained = (
        each.read_history()[-1].test_accuracy for each in (alone["permuted_labels"], done)
    )
    assert permuted < trained - 0.2
    again = Quiet()
    run(load_config(config, [f"controls={names}"]), tmp_path / "one", again)
    assert again.epochs == 0


def test_controls_that_are_none_or_said_twice_are_refused(config):
    for wrong in ('controls=["grey"]', 'controls=["random_weights", "random_weights"]'):
        with pytest.raises(JaxbqError, match="controls"):
            load_config(config, [wrong])
    both = ['controls=["random_weights"]', "network.control=random_weights"]
    with pytest.raises(JaxbqError, match="drop controls"):
        load_config(config, both)


def test_nearest_training_images_are_kept(config, done):
    folder = done
    data = load_config(config).data.load()
    with np.load(folder.nearest) as file:
        assert file["index"].shape == (2 * 3, 3)
        numbers = file["method_number"].tolist()
        for row, (number, target) in enumerate(zip(numbers, file["target"], strict=True)):
            method = load_config(config).methods[number]
            image = folder.read_result(folder.inversion(0, number, method)).images[target, 0]
            apart = np.square(data.train_images - image).sum(axis=1)
            assert file["index"][row].tolist() == np.argsort(apart, kind="stable")[:3].tolist()
        chosen = np.searchsorted(file["unique"], file["index"][0, 0])
        np.testing.assert_array_equal(
            file["images"][chosen], data.train_images[file["index"][0, 0]]
        )


def test_traces_and_costs_are_kept(done):
    folder = done
    (found,) = folder.read_json("traces.json")
    assert found["method"] == "transpose"
    assert [layer["number"] for layer in found["layers"]] == [1, 2]
    assert found["layers"][0]["facts"]["fan_in"] == 30
    network = load_network(folder.network())
    target = folder.read_result(next(folder.inversions.glob("0/01-*.npz"))).targets[0]
    own = trace(Transpose(), network.model, network.params, target, reference=network.space)
    for layer, expected in zip(found["layers"], own.layers, strict=True):
        for name in ("outside_share", "outside_amount", "residual_before", "residual_after"):
            assert layer[name] == pytest.approx(getattr(expected, name), rel=1e-4, abs=1e-6)
        assert layer["found_range"] == pytest.approx(expected.found_range, rel=1e-4)
        assert layer["apart"] == pytest.approx(expected.apart, rel=1e-4, abs=1e-6)
    costs = read_csv(folder.cost)
    assert [row["method"].partition("(")[0] for row in costs] == ["transpose", "ascent"]
    assert float(costs[1]["operations"]) > 10 * float(costs[0]["operations"]) > 0
    assert (costs[1]["images"], costs[1]["steps"]) == ("6", "20")


def test_images_that_are_made_anew_are_scored_anew(config, done, tmp_path):
    before = done.scores.read_bytes()
    (done.inversions / "0/02-ascent.npz").unlink()
    listener = Quiet()
    run(load_config(config), tmp_path / "runs", listener)
    assert any(line.startswith("scoring") for line in listener.lines)
    assert done.scores.read_bytes() == before


def test_what_another_version_scored_is_scored_anew(config, done, tmp_path):
    before = contents(done)
    done.scores.unlink()
    done.write_json("inversions/0/scored.json", {"code": "another", "scores": [[1, 2]]})
    run(load_config(config), tmp_path / "runs", Quiet())
    assert contents(done) == before
    assert not done.scored(0).exists()


def test_shorthands_of_scores(config):
    assert not load_config(config).scores.judges
    assert load_config(config, ["scores.judges=true"]).scores.judges
    assert load_config(config, ["scores=full"]).scores == Scoring()
    with pytest.raises(JaxbqError, match="scores"):
        load_config(config, ["scores=fast"])
    with pytest.raises(JaxbqError, match="scores"):
        load_config(config, ["scores=fast", "scores.judges=true"])


def test_many_networks_are_those_of_other_seeds(config, tmp_path):
    many = run(load_config(config, ["networks.seeds=2"]), tmp_path / "many", Quiet())
    single = run(load_config(config, ["seed=1"]), tmp_path / "single", Quiet())
    assert many.network(1).read_bytes() == single.network().read_bytes()
    for name in ("01-transpose.npz", "02-ascent.npz"):
        own = (many.inversions / "1" / name).read_bytes()
        assert own == (single.inversions / "0" / name).read_bytes()
    rows = [row for row in read_csv(many.scores) if row["network"] == "1"]
    alone = read_csv(single.scores)
    assert [{**row, "network": "0"} for row in rows] == alone
    assert len(read_csv(many.scores)) == 2 * len(alone)


def test_of_many_networks_only_the_missing_are_trained(config, tmp_path):
    experiment = load_config(config, ["networks.seeds=2", "networks.together=true"])
    whole = run(experiment, tmp_path / "a", Quiet())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    part = RunFolder.of(experiment, tmp_path / "b")
    part.history(1).unlink()
    before = part.network(0).stat().st_mtime_ns
    listener = Quiet()
    run(experiment, tmp_path / "b", listener)
    assert listener.epochs == 4
    assert part.network(0).stat().st_mtime_ns == before
    one, two = (load_network(each.network(1)).params for each in (whole, part))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("together", ["true", "false"])
def test_divergence_of_one_of_many_names_it(config, tmp_path, together):
    changes = ["network.output=identity", "network.activation=leaky_relu"]
    changes += ["training.loss=squared_error", "training.optimiser.name=sgd"]
    changes += ["training.optimiser.learning_rate=30.0", "training.epochs=50"]
    changes += ["networks.seeds=2", f"networks.together={together}"]
    with pytest.raises(JaxbqError, match=r"network \d: .*diverged in epoch.*\d.last-good"):
        run(load_config(config, changes), tmp_path / "runs", Quiet())


def test_variants_change_tables_at_every_depth(config):
    with config.open("a") as file:
        file.write(
            """
[variants.plain]
[variants.hard.training]
adversary = { epsilon = 0.5 }
[variants.hard.network]
control = "permuted_labels"
[variants.bare]
methods = [{ kind = "grey" }]
[sweep]
seed = [0, 1]
"""
        )
    found = load_configs(config)
    assert [name for name, _ in found] == [
        "plain, seed=0",
        "plain, seed=1",
        "hard, seed=0",
        "hard, seed=1",
        "bare, seed=0",
        "bare, seed=1",
    ]
    plain, hard, bare = (found[n][1] for n in (0, 3, 4))
    assert plain.training.adversary is None
    # What the variant does not name stays as all have it.
    assert hard.training == dataclasses.replace(plain.training, adversary=hard.training.adversary)
    assert hard.training.adversary.epsilon == 0.5
    assert (hard.network.control, hard.seed) == ("permuted_labels", 1)
    assert [method.kind for method in bare.methods] == ["grey"]
    none = load_configs(config, ['training.adversary="none"'])[0][1]
    assert none.training.adversary is None
    with pytest.raises(JaxbqError, match="has a sweep, so many experiments"):
        load_config(config)


def test_what_is_changed_for_a_run_is_changed_for_every_variant(config):
    with config.open("a") as file:
        file.write("[variants.long.training]\nepochs = 50\n[variants.plain]\n")
    found = load_configs(config, ["training.epochs=1"])
    assert [experiment.training.epochs for _, experiment in found] == [1, 1]
    found = load_configs(config, ["variants.long.training.epochs=9"])
    assert [experiment.training.epochs for _, experiment in found] == [9, 4]


def test_variants_and_changes_reach_into_shorthands(config):
    text = config.read_text().replace("[network]\nhidden = [8]", "")
    text = text.replace("batch_size = 16", 'batch_size = 16\noptimiser = "sgd"')
    config.write_text(
        'network = "file:net.npz"\n' + text + '[variants.a.network]\nactivation = "tanh"\n'
        "[variants.a.training.optimiser]\nlearning_rate = 0.5\n"
    )
    ((_, experiment),) = load_configs(config)
    assert (experiment.network.file, experiment.network.activation) == ("net.npz", "tanh")
    assert experiment.training.optimiser.name == "sgd"
    assert experiment.training.optimiser.learning_rate == 0.5
    ((_, changed),) = load_configs(config, ["network.output=softmax"])
    assert (changed.network.file, changed.network.output) == ("net.npz", "softmax")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("variants = 3", "variants must hold tables"),
        ("variants.a = 3", "variants must hold tables"),
        ("[variants.a.network]\nhiden = [3]", "network.hiden: unknown key; did you mean 'hidden'"),
    ],
)
def test_mistakes_in_variants(config, table, message):
    config.write_text(table + "\n" + config.read_text())
    with pytest.raises(JaxbqError, match=message):
        load_configs(config)


@pytest.mark.slow
def test_autoencoders_are_measured_once(config, tmp_path):
    small = "{ code = 4, hidden = [16], epochs = 3, batch_size = 20 }"
    with config.open("a") as file:
        file.write(f'[[methods]]\nkind = "projected"\nautoencoder = {small}\n')
        file.write('[[methods]]\npreset = "nguyen2016"\nsteps = 5\n')
        file.write(f"parameterisation = {{ autoencoder = {small} }}\n")
    listener = Quiet()
    folder = run(load_config(config), tmp_path / "runs", listener)
    rows = json.loads((folder.path / "autoencoders.json").read_text())
    # One of the wrapper, whose default has noise, one of the ascent.
    assert [row["autoencoder"]["noise"] for row in rows] == [0.3, 0.0]
    said = [line for line in listener.lines if "mean squared error" in line]
    assert f"{rows[1]['error']:.4f} a pixel (4 principal components {rows[1]['pca']:.4f}" in said[1]
    again = Quiet()
    run(load_config(config), tmp_path / "runs", again)
    assert not [line for line in again.lines if "mean squared error" in line]
