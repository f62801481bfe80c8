from __future__ import annotations

import gc
from typing import Any

import pytest
from fastapi import FastAPI
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from headstart.deploy.serve.limits import Limits
from headstart.deploy.serve.run import address, check_packages, is_local, listen, run, side_by_side, together
from headstart.errors import MissingExtra, SpecError


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(SpecError, match=f"--port {port}: 127.0.0.1:{port} cannot be used"):
            listen("127.0.0.1", port)
    for wrong in (-1, 65536):
        with pytest.raises(SpecError, match="between 0 and 65535"):
            listen("127.0.0.1", wrong)


def test_an_address_has_the_port_that_was_given_and_ipv6_its_brackets() -> None:
    with listen("127.0.0.1", 0) as first:
        assert address("127.0.0.1", first) == f"http://127.0.0.1:{first.getsockname()[1]}"
        assert address("::1", first) == f"http://[::1]:{first.getsockname()[1]}"


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


@pytest.mark.parametrize(("cores", "shared"), [(1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (7, (4, 1)), (16, (4, 4))])
def test_workers_share_the_cores_of_a_server(cores: int, shared: tuple[int, int], monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADSTART_THREADS", str(cores))
    assert side_by_side("cpu") == shared
    assert side_by_side("cuda:1") == (1, cores)


@pytest.mark.parametrize(("cores", "images"), [(1, 4), (2, 8), (8, 32), (64, 32)])
def test_a_few_images_a_core_go_through_the_network_together(cores: int, images: int, monkeypatch: Any) -> None:
    monkeypatch.setenv("HEADSTART_THREADS", str(cores))
    assert together("cpu") == images
    assert together("cuda") == 32


def test_collections_do_not_visit_the_model_while_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    app, seen = FastAPI(), list[bool]()
    monkeypatch.setattr(
        "uvicorn.Server.run", lambda *rest, **more: seen.append(any(x is app for x in gc.get_objects()))
    )
    with listen("127.0.0.1", 0) as listening:
        run(app, listening, Limits())
    assert seen == [False] and any(each is app for each in gc.get_objects())


def test_a_wrong_form_of_a_client_is_not_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def served(server: Any, sockets: Any) -> None:
        with pytest.raises(MultipartParseError):
            MultipartParser(b"edge").write(b"no form")

    monkeypatch.setattr("uvicorn.Server.run", served)
    with listen("127.0.0.1", 0) as listening:
        run(FastAPI(), listening, Limits())
    assert not caplog.records
    served(None, None)
    assert caplog.records  # what it would be
