"""What all tests share."""

import functools
import gc
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from jaxtyping import install_import_hook

# A test computes for milliseconds what XLA would optimise for seconds: compile as little as it can.
# Numbers differ by rounding alone; what users get is compiled by `make smoke` and the slow tests
# that start processes of their own. Who names a level, as `make gpu-check` does, gets it.
QUICK = " --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
if "--xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + QUICK

# The user's own cache is not for tests; `make test` names one that its workers share.
os.environ.setdefault("JAXBQ_CACHE", tempfile.mkdtemp(prefix="jaxbq-cache-"))

# No test computes as a measurement says, which may fall out in one way or another.
os.environ["JAXBQ_MEASURE"] = "0"

# Before the first import of jaxbq. By `make slow` alone: to check every call takes a tenth to a
# fifth more time.
if os.environ.get("JAXBQ_CHECK_TYPES"):
    # An int where a float is expected is fine, as PEP 484 says.
    install_import_hook(
        "jaxbq", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    )

import jax  # noqa: E402
import numpy as np  # noqa: E402
import problems  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402

import jaxbq  # noqa: E402
from jaxbq.data import Dataset, Mnist, Mnist10k  # noqa: E402
from jaxbq.evaluation import Judge  # noqa: E402
from jaxbq.evaluation.judges import blind_judges  # noqa: E402
from jaxbq.methods import Method, Result, invert  # noqa: E402
from jaxbq.network.files import load_network  # noqa: E402
from jaxbq.network.mlp import MLP, Params  # noqa: E402
from jaxbq.network.targets import Codes  # noqa: E402
from jaxbq.runtime.cache import cache_folder  # noqa: E402

# Tracing makes many objects and hardly any circle: to look for them less often saves a twentieth.
gc.set_threshold(50_000)

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Let go of compiled programs before they are too many.

    Each holds memory maps, of which Linux gives a process 65,530; beyond them XLA crashes.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > 45_000:
        jax.clear_caches()


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(20)


@pytest.fixture
def x64():
    """Compute in float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Three classes of 6 × 5 images, easy to learn."""
    return problems.striped_dataset()


@pytest.fixture(scope="session")
def mnist_10k() -> Dataset:
    return Mnist10k().load()


@functools.cache
def prepared(what: str) -> Path:
    """Let `prepare.py` train what many tests ask; return its file.

    Done once for all workers, and again when the code changes.
    """
    sources = hashlib.sha256()
    for path in sorted(Path(jaxbq.__file__).parent.rglob("*.py")):
        sources.update(path.read_bytes())
    file = cache_folder() / "tests" / f"{what}-{sources.hexdigest()[:16]}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            plain = {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace(QUICK, "")}
            root = str(Path(jaxbq.__file__).parents[1])
            script = str(Path(__file__).with_name("prepare.py"))
            subprocess.run(
                [sys.executable, script, what, str(file)],
                check=True,
                env=os.environ | plain | {"PYTHONPATH": root},
            )
    return file


@pytest.fixture(scope="session")
def standard() -> tuple[MLP, Params]:
    """The network that the design speaks of: 784-200-10, sigmoid, trained on embedded data."""
    network = load_network(prepared("standard"))
    params: Params = jax.tree.map(jax.numpy.asarray, network.params)
    return network.model, params


@pytest.fixture(scope="session")
def asked(standard: tuple[MLP, Params], mnist_10k: Dataset) -> Callable[[Method], Result]:
    """Ask the standard network for the code of every digit: each method once for all tests."""

    @functools.cache
    def ask(method: Method) -> Result:
        return invert(method, *standard, Codes().matrix(10), reference=mnist_10k)

    return ask


@pytest.fixture(scope="session")
def few_digits_judged() -> None:
    """See to it that the cache has the abstaining judges of `prepare.few_digits`."""
    prepared("judges of few digits")


@pytest.fixture(scope="session")
def judge(mnist_10k: Dataset) -> Judge:
    prepared("judges")
    return blind_judges(mnist_10k)[0]


@pytest.fixture(scope="session")
def full_mnist_folder() -> Path:
    folder = os.environ.get("JAXBQ_DATA")
    if not folder:
        pytest.skip("the full MNIST is not here: set JAXBQ_DATA to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def full_mnist(full_mnist_folder: Path) -> Dataset:
    return Mnist(path=str(full_mnist_folder)).load()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory):
    """The small config, its data and its finished run, done once; see test_experiment."""
    # Late, so that its assertions are rewritten as those of every test file.
    from test_experiment import small_run

    return small_run(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def browser():
    """Start Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("JAXBQ_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs Chromium: set JAXBQ_CHROMIUM to it")
    with playwright.sync_playwright() as driver:
        # Where tests run as root in a container, Chromium has no sandbox to use.
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit_file(browser):
    """Open pages, and in the end see that nothing went wrong and nothing else was asked for."""
    said, asked, opened, contexts = [], [], set(), []

    def open_page(path, fragment="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        opened.add(path.resolve().as_uri())
        page.goto(path.resolve().as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not said
    other = {url.partition("#")[0] for url in asked} - opened
    assert not [url for url in other if not url.startswith("data:")]


@pytest.fixture(scope="module")
def keras():
    keras = pytest.importorskip("keras", reason="Keras is not here")
    keras.utils.set_random_seed(1)
    # Keras itself adds biases to batches by promotion.
    with jax.numpy_rank_promotion("allow"):
        yield keras
