import subprocess
import sys

import pytest

import tap


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, tap; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_resolves_to_its_home() -> None:
    homes = tap._HOME_OF
    assert {*homes, "TapError"} == set(tap.__all__)
    for name, home in homes.items():
        assert getattr(tap, name) is getattr(sys.modules[home], name)
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = tap.nothing_here
