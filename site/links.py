"""What stands under the title of a notebook's page: where it can be opened, how long it is to read, how long it computes."""
import os
from pathlib import Path

from shared import REPO, lessons, place, read, reading, room, seconds

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)
COLAB = """<details class="elsewhere">
<summary>Before the first cell, in Colab</summary>

```python
%pip install git+{repo}
```

{cost}Restart the session if Colab asks for it. When it ends its files are gone, so save a copy of your own.

</details>
"""


def up(path): return "../" if room(path) else ""


def cost():
    """What an installation takes, as far as it was measured."""
    took, size = seconds(ROOT, "install_minutes"), seconds(ROOT, "installed_gb")
    return f"Where nothing was there before, that took {took} minutes and {size} GB. " if took and size else "That takes minutes and gigabytes. "


def links(path):
    """Where this notebook can be opened, how long it is to read, and how long it computes."""
    at, course = f"nbs/{place(path)}", REPO.removeprefix("https://github.com/")
    parts = [f"[Open in Colab](https://colab.research.google.com/github/{course}/blob/main/{at})",
             f"[Binder](https://mybinder.org/v2/gh/{course}/main?labpath={at.replace('/', '%2F')})",
             f"[Codespaces](https://codespaces.new/{course})",
             f"[Notebook]({REPO}/blob/main/{at})"]
    if (ROOT / "api" / f"{read(path).module}.qmd").exists(): parts.append(f"[Functions]({up(path)}../api/{read(path).module}.qmd)")
    ran = seconds(ROOT).get(place(path))
    times = [f"{reading(path)} min to read"] + ([f"{ran:.0f} s to compute on {seconds(ROOT, 'cores')} cores"] if ran else [])
    under = COLAB.format(repo=REPO, cost=cost()) if path in lessons(ROOT) else ""
    return "::: {.lesson-links}\n" + f"{', '.join(times)}\n\n{' · '.join(parts)}\n:::\n\n{under}"
