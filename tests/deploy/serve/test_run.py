from __future__ import annotations

import pytest

from headstart.deploy.serve.run import check_packages, is_local, listen
from headstart.errors import MissingExtra, SpecError


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(SpecError, match=f"--port {port}: 127.0.0.1:{port} cannot be used"):
            listen("127.0.0.1", port)
    for wrong in (-1, 65536):
        with pytest.raises(SpecError, match="between 0 and 65535"):
            listen("127.0.0.1", wrong)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.1.2.3", False), ("here", False)],
)
def test_which_addresses_only_this_machine_reaches(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"headstart serve .* 'headstart\[serve\]'"):
        check_packages()
