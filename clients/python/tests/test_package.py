"""The package as a whole."""

import importlib.util
import inspect
import pathlib
import re
import subprocess
import sys
import unittest

import rstmdb_cluster
from rstmdb_cluster import AsyncClient, AsyncWatch, Client, Watch

_FOLDER = pathlib.Path(__file__).parent.parent


class Package(unittest.TestCase):
    def test_the_methods_are_those_that_the_generator_makes(self) -> None:
        done = subprocess.run([sys.executable, "-B", str(_FOLDER / "tools" / "generate.py"), "--check"], check=False)
        self.assertEqual(done.returncode, 0, "run python3 tools/generate.py")

    def test_both_clients_have_the_same_methods_with_the_same_parameters(self) -> None:
        for blocking, asynchronous in ((Client, AsyncClient), (Watch, AsyncWatch)):
            names = {name for name in dir(asynchronous) if not name.startswith("_")}
            self.assertEqual(names, {name for name in dir(blocking) if not name.startswith("_")})
            for name in names:
                mine, other = getattr(blocking, name), getattr(asynchronous, name)
                if callable(mine):
                    here, there = inspect.signature(mine), inspect.signature(other)
                    self.assertEqual(list(here.parameters.values()), list(there.parameters.values()), name)
        options = (inspect.signature(made.__init__).parameters for made in (Client, AsyncClient))
        self.assertEqual(*(list(parameters.values()) for parameters in options))

    def test_the_version_is_one(self) -> None:
        text = (_FOLDER / "pyproject.toml").read_text()
        self.assertIn(f'version = "{rstmdb_cluster.__version__}"', text)
        self.assertTrue((_FOLDER / "src" / "rstmdb_cluster" / "py.typed").is_file())

    def test_everything_that_is_exported_is_there(self) -> None:
        for name in rstmdb_cluster.__all__:
            self.assertTrue(hasattr(rstmdb_cluster, name), name)

    def test_every_operation_of_the_protocols_page_has_a_method(self) -> None:
        page = (_FOLDER.parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
        named = set(re.findall(r"^### ([A-Z]+(?:_[A-Z]+)*)$", page, re.MULTILINE))
        self.assertGreater(len(named), 20)
        # They are the connection's own, or another method's: closing a watch, call().
        by_other_means = {"HELLO", "AUTH", "BYE", "UNWATCH"}
        by_name = {name for name in named if name.startswith(("BACKUP_", "AUDIT_"))}
        missing = {name for name in named - by_other_means - by_name if not hasattr(Client, name.lower())}
        self.assertEqual(missing, set())

    def test_the_style_is_the_one_of_the_project(self) -> None:
        if importlib.util.find_spec("ruff") is None:
            self.skipTest("ruff is not installed: .ci/tools, or pip install -r tests/requirements.txt")
        for command in (["check"], ["format", "--check"]):
            folders = ["src", "examples", "tests", "tools"]
            command = [sys.executable, "-m", "ruff", *command, "--no-cache", *folders]
            done = subprocess.run(command, cwd=_FOLDER, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_types_are_strict(self) -> None:
        if importlib.util.find_spec("mypy") is None:
            self.skipTest("mypy is not installed: .ci/tools, or pip install -r tests/requirements.txt")
        # The types of the example's packages are needed, too.
        examples = [] if importlib.util.find_spec("fastapi") else ["--exclude", "order_service"]
        # What is checked stands in pyproject.toml.
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "/dev/null", *examples]
        done = subprocess.run(command, cwd=_FOLDER, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
