"""What several files of tests need."""
import shutil

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def one_home(tmp_path_factory):
    """All tests of a file share one cache folder, so that what is made is made once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TRANSFER_COURSE_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    patch.undo()


@pytest.fixture
def one_thread():
    """The order of sums depends on the number of threads: for tests in which numbers must be the same."""
    import torch
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium of this machine: none is downloaded."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright: pip install -e '.[dev]'")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not found: pytest.skip(f"the browser tests need one of {', '.join(CHROMIUM)} on the PATH")
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield browser
        browser.close()
