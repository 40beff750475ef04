"""Runs programs under faults.so (its head says what the settings mean)."""
import os, struct

STATE = struct.Struct("<QQq")


class Faults:
    """One run: its shared state file, and its environment."""

    def __init__(self, library, tree, state):
        self.library, self.tree, self.state = library, os.path.realpath(tree), state
        with open(state, "wb") as f:
            f.write(bytes(STATE.size))
        os.chmod(state, 0o666)

    def environment(self, **settings):
        """For example calls="write,fsync", at=3, mode="kill-after", errno=28, free=100000, except_=marks."""
        more = {"FAULT_" + key.rstrip("_").upper(): str(value) for key, value in settings.items()}
        return {**os.environ, "LD_PRELOAD": self.library, "FAULT_STATE": self.state, "FAULT_TREE": self.tree, **more}

    def counts(self):
        """Counted calls, struck calls, bytes used of `free`."""
        with open(self.state, "rb") as f:
            return STATE.unpack(f.read())
