"""Runs the steps of a Dockerfile as a plain script, below a folder that stands for `/`.

What a machine without a container engine can find out: that every file a step needs is copied, that every
command works, and that the last stage runs from what it copies out of the first alone.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# The folders of the image that the steps name.
ABSOLUTE = re.compile(r"(?<![\w./])/(?=(?:opt|src|var)/)|(?<![\w./])/(?=src\b)")
SECONDS = 300


def instructions(file: Path) -> list[tuple[str, str]]:
    """Returns each instruction of a Dockerfile and its arguments, in one line."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


class Image:
    """What the steps of a Dockerfile have made below `root`: the files, and how the image is run.

    Args:
        file: the Dockerfile.
        context: the folder that it copies from.
        root: an empty folder.
    """

    def __init__(self, file: Path, context: Path, root: Path) -> None:
        self.root, self.environ = root, self._host()
        self._context, self._folder = context, root
        self.metadata: dict[str, str] = {}
        for instruction, text in instructions(file):
            step = getattr(self, f"_{instruction.lower()}", None)
            if step is None:
                self.metadata[instruction] = text
            else:
                step(text)

    def below(self, text: str) -> str:
        """Returns a text with the image's absolute paths moved below `root`."""
        return ABSOLUTE.sub(f"{self.root}/", text)

    def _host(self) -> dict[str, str]:
        """The host's environment without a virtual one, so that `python` is as bare as in the base image."""
        inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        return inherited | {"PATH": f"{Path(sys.base_prefix, 'bin')}:/usr/bin:/bin"}

    def _from(self, _: str) -> None:
        self.environ, self._folder = self._host(), self.root

    def _env(self, text: str) -> None:
        for assignment in shlex.split(text):
            name, _, value = assignment.partition("=")
            self.environ[name] = self.below(value.replace("$PATH", self.environ["PATH"]))

    def _workdir(self, text: str) -> None:
        self._folder = Path(self.below(text))
        self._folder.mkdir(parents=True)

    def _copy(self, text: str) -> None:
        *sources, target = shlex.split(text)
        if sources[0].startswith("--from="):
            self._keep_only(Path(self.below(target)))
            return
        folder = self._folder / self.below(target)
        for source in sources:
            _copy(self._context / source, folder / Path(source).name if target.endswith("/") else folder)

    def _keep_only(self, kept: Path) -> None:
        """A stage begins with what it copies: the rest of the stage before is gone."""
        aside = self.root / "aside"
        kept.rename(aside)
        for path in (self.root / "opt", self.root / "src"):
            shutil.rmtree(path)
        kept.parent.mkdir()
        aside.rename(kept)

    def _run(self, text: str) -> None:
        # Only root may give files away; whoever runs the steps keeps them else.
        if os.geteuid() != 0:
            text = re.sub(r"--(owner|group)=\S+", "", text)
        (self.root / "var" / "lib").mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["sh", "-ec", self.below(text)],
            cwd=self._folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def copied(file: Path) -> Iterator[str]:
    """Yields the paths that a Dockerfile copies from its context."""
    for instruction, text in instructions(file):
        if instruction == "COPY" and "--from=" not in text:
            yield from shlex.split(text)[:-1]
