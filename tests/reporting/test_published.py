from brainssl.reporting.published import read_published


def test_published_numbers_are_those_of_the_study() -> None:
    published = read_published()
    tables = {table["name"]: table for table in published["tables"]}
    assert list(tables) == [f"Table {i}" for i in range(4, 9)]
    assert all(table["measured_on"] for table in tables.values())
    by_method = {row["method"]: row for row in tables["Table 6"]["rows"]}
    assert by_method["SimCLR"] == {
        "method": "SimCLR",
        "accuracy": 97.27,
        "precision": 0.9738,
        "recall": 0.9726,
        "f1": 0.9727,
    }
    assert "training" in tables["Table 5"]["measured_on"]
