"""``app``: what follows is Streamlit's."""

from tests.support.processes import command_line


def test_app_becomes_streamlit_run_with_every_flag_as_it_is() -> None:
    done = command_line("app", "--server.port", "no-number")
    assert done.returncode == 2
    assert "Usage: streamlit run" in done.stderr
    assert "Invalid value for '--server.port'" in done.stderr
