"""Converted cases, each converted once per session and options."""

import json

import pytest
from parity.cases import CONVERTERS, parametrize


def pytest_generate_tests(metafunc):
    model = getattr(metafunc.module, "MODEL", None)
    if model is not None:
        parametrize(metafunc, model, getattr(metafunc.module, "KIND", None))


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """Converts a case with the flags of a run, through the converter's command line; answers with the folder."""
    done = {}

    def convert(case, run):
        flags = case.flags(run)
        if flags not in done:
            output = tmp_path_factory.mktemp("converted") / case.name
            code = CONVERTERS[case.model]([*flags, "--output", str(output)])
            assert code == 0, f"convert {' '.join(flags)} failed"
            assert json.loads((output / "config.json").read_text())["model_type"].startswith(case.model)
            done[flags] = output
        return done[flags]

    return convert
