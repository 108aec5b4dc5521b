"""The address /cases on a server that nobody has visited yet: app.py, which knows the real screen, takes over."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).parents[1] / "app.py"), run_name="__main__")
