"""What ends a command with exit code 1."""


class CommandError(Exception):
    """The command failed; each of its lines says why, and what to do."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))
