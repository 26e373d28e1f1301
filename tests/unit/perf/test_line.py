"""The measurement of tiny networks: every way is timed, and graphs are bit-identical."""

import json

from perf import line


def test_line_times_every_way_and_compares_numbers(tmp_path, capsys):
    result = line.main(["--seeds", "2", "--turns", "1", "--json", str(tmp_path / "out.json")])
    assert list(result["seconds"]) == [line.ONE_BY_ONE, "updates as graphs", "2 seeds as one model"]
    assert result["identical"][line.ONE_BY_ONE]
    assert result["identical"]["updates as graphs"]
    assert result["ratios"][line.ONE_BY_ONE] == [1.0, 1.0, 1.0]
    assert json.loads((tmp_path / "out.json").read_text())["identical"] == result["identical"]
    assert "bit-identical" in capsys.readouterr().out
