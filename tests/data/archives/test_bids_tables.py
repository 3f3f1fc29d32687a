"""Tables of BIDS: facts go on, labels only where they are called so, names of people never."""

from pathlib import Path

from brainssl.data.archives.bids_tables import Participants, read_participants


def read(root: Path, text: str, *further: str) -> Participants:
    (root / "participants.tsv").write_text(text)
    return read_participants(root, ["participants.tsv", *further])


def test_columns_go_on(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "participant_id\tage\tsex\thandedness\tgroup\tpatient_name\n"
        "sub-01\t45.5\tfemale\tn/a\tpatient\tDoe\n02\t95\tM\tleft\tcontrol\tRoe\n",
    )
    assert found.columns == {
        "sub-01": {"age": "45", "sex": "F", "bids_group": "patient"},
        "sub-02": {"age": "90+", "sex": "M", "handedness": "left", "bids_group": "control"},
    }
    assert found.labels == {}
    told = " ".join(found.notes)
    assert "The column group of participants.tsv may hold the classes" in told
    assert "1 left out" in told
    assert "group is bids_group here" in told
    assert "Doe" not in told


def test_a_column_called_label_is_the_label(tmp_path: Path) -> None:
    found = read(tmp_path, "participant_id\tlabel\tdiagnosis\nsub-01\tglioma\tx\nsub-02\tn/a\ty\n")
    assert found.labels == {"sub-01": "glioma"}
    assert found.columns["sub-01"] == {"diagnosis": "x"}


def test_ages_of_sessions(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text(
        "session_id\tage\tacq_time\nses-a\t45\t2001-01-01\nb\tn/a\t2002-01-01\n"
    )
    found = read_participants(tmp_path, ["sub-01/sub-01_sessions.tsv"])
    assert found.ages == {"sub-01_ses-a": "45"}


def test_a_table_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "participant_id\tage\nsub-01\t4\t5\n")
    assert found.columns == {}
    (note,) = found.notes
    assert note.startswith("participants.tsv was not read: line 2 has 3 cells")
    assert str(tmp_path) not in note
    assert "needs the columns participant_id" in read(tmp_path, "id\tage\n1\t2\n").notes[0]
