"""Submissions as they are handed in: folders and zip files of all sorts."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from rvhv.errors import ConfigError
from rvhv.grade import submission
from rvhv.grade.course import collect, shard
from rvhv.grade.lab import find_lab
from rvhv.grade.submission import MOST_BYTES, Refused, digest, read

WANTED = ("one.py",)
POSIX = sys.platform != "win32"


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        file = path / name.replace("__", "/").replace("_py", ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    path.mkdir(exist_ok=True)
    return path


def archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries:
            made.writestr(name, data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        read(path, WANTED)
    assert str(path.parent) not in str(caught.value)  # it is shown to students
    return str(caught.value)


def test_a_folder(tmp_path: Path) -> None:
    assert read(folder(tmp_path / "a", one_py="1", two_py="2"), WANTED) == {"one.py": "1", "two.py": "2"}


def test_a_folder_in_a_folder(tmp_path: Path) -> None:
    made = folder(tmp_path / "a", work__lab__one_py="1", work__lab__two_py="2", work__other_py="3")
    assert read(made, WANTED) == {"one.py": "1", "two.py": "2"}


def test_a_zip_is_the_same(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.zip", ("lab/one.py", "1"), ("lab/two.py", "2"), ("__MACOSX/lab/one.py", b"\0\xff"), ("lab/", ""))
    assert read(made, WANTED) == {"one.py": "1", "two.py": "2"}


def test_a_mark_of_byte_order_is_no_part_of_it(tmp_path: Path) -> None:
    made = folder(tmp_path / "a")
    (made / "one.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    assert read(made, WANTED) == {"one.py": "x = 1\n"}


class TestFolders:
    def test_empty(self, tmp_path: Path) -> None:
        assert refusal(folder(tmp_path / "a")) == "one.py is not in it: it has no file of a program"

    def test_another_name(self, tmp_path: Path) -> None:
        assert refusal(folder(tmp_path / "a", One_py="")) == "one.py is not in it: it has One.py"

    def test_two_of_them(self, tmp_path: Path) -> None:
        assert "more than one one.py in it: a/one.py, b/one.py" in refusal(folder(tmp_path / "a", a__one_py="", b__one_py=""))

    def test_too_much(self, tmp_path: Path) -> None:
        assert "256 KiB" in refusal(folder(tmp_path / "a", one_py="x" * (MOST_BYTES + 1)))

    def test_too_many(self, tmp_path: Path) -> None:
        assert "may have 32" in refusal(folder(tmp_path / "a", one_py="", **{f"f{n}_py": "" for n in range(40)}))

    def test_no_text(self, tmp_path: Path) -> None:
        made = folder(tmp_path / "a")
        (made / "one.py").write_bytes(b"\xff\xfe\0")
        assert refusal(made) == "one.py is no text in UTF-8"

    @pytest.mark.skipif(not POSIX, reason="symbolic links")
    def test_links(self, tmp_path: Path) -> None:
        made = folder(tmp_path / "a")
        (made / "one.py").symlink_to("/etc/passwd")
        assert "one.py is a symbolic link" in refusal(made)

    @pytest.mark.skipif(not POSIX, reason="symbolic links")
    def test_a_linked_folder_is_not_followed(self, tmp_path: Path) -> None:
        other = folder(tmp_path / "other", one_py="somebody else's")
        made = folder(tmp_path / "a")
        (made / "lab").symlink_to(other)
        assert "is not in it" in refusal(made)
        (tmp_path / "b").symlink_to(other)
        assert refusal(tmp_path / "b") == "it is neither a folder nor a zip file"

    @pytest.mark.skipif(sys.platform != "linux", reason="names that are any bytes")
    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        made = folder(tmp_path / "a", one_py="1")
        (made / os.fsdecode(b"\xff.py")).write_text("")
        assert refusal(made) == "'\\udcff.py' in it is no name for a file of a program"

    @pytest.mark.skipif(not POSIX, reason="pipes")
    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        made = folder(tmp_path / "a")
        os.mkfifo(made / "one.py")
        assert "is not in it" in refusal(made)


class TestZips:
    def test_no_zip(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(b"PK\3\4 is how they begin")
        assert "no zip file that can be read" in refusal(tmp_path / "a.zip")

    @pytest.mark.parametrize("name", ["../one.py", "/one.py", "a/../../one.py", "C:one.py", "a\\one.py"])
    def test_paths_that_lead_out(self, tmp_path: Path, name: str) -> None:
        info = zipfile.ZipInfo("x")
        info.filename = name
        assert "leads out of it" in refusal(archive(tmp_path / "a.zip", ("one.py", "1"), (info, "2")))

    def test_links(self, tmp_path: Path) -> None:
        info = zipfile.ZipInfo("one.py")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        assert "is a symbolic link" in refusal(archive(tmp_path / "a.zip", (info, "/etc/passwd")))

    def test_a_bomb(self, tmp_path: Path) -> None:
        assert "256 KiB" in refusal(archive(tmp_path / "a.zip", ("one.py", b"x" * (50 << 20))))

    def test_a_bomb_that_lies_about_its_size(self, tmp_path: Path) -> None:
        made = archive(tmp_path / "a.zip", ("one.py", b"x" * (50 << 20)))
        data = made.read_bytes().replace((50 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
        made.write_bytes(data)
        assert refusal(made)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_methods_that_unpack_all_at_once(self, tmp_path: Path, method: int) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as made:
            made.writestr("one.py", b"x" * (1 << 20))
        assert "another method" in refusal(tmp_path / "a.zip")

    def test_a_huge_archive(self, tmp_path: Path) -> None:
        with open(tmp_path / "a.zip", "wb") as made:
            made.truncate(submission.MOST_ARCHIVE + 1)
        assert "more than 16 MiB" in refusal(tmp_path / "a.zip")

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_a_name_twice(self, tmp_path: Path) -> None:
        assert refusal(archive(tmp_path / "a.zip", ("one.py", "1"), ("one.py", "2"))) == "'one.py' is in it twice"

    def test_many_entries(self, tmp_path: Path) -> None:
        assert "2000 entries" in refusal(archive(tmp_path / "a.zip", *((f"{n}.txt", "") for n in range(2100))))

    def test_cut_off(self, tmp_path: Path) -> None:
        made = archive(tmp_path / "a.zip", ("one.py", os.urandom(5000).hex()))
        data = bytearray(made.read_bytes())
        data[100:200] = bytes(100)
        made.write_bytes(data)
        assert "zip file" in refusal(made)


class TestCollecting:
    LAB = find_lab("2")

    @pytest.mark.skipif(sys.platform != "linux", reason="names that are any bytes")
    def test_names_that_no_format_can_hold(self, tmp_path: Path) -> None:
        folder(tmp_path / os.fsdecode(b"a\xff\x1b\n"), gstage_py="")
        (found,) = collect([tmp_path], self.LAB)
        assert found.name == r"a\udcff\x1b\n"

    def test_folders_zips_and_a_folder_of_them(self, tmp_path: Path) -> None:
        many = tmp_path / "many"
        folder(many / "ann", gstage_py="")
        archive(many / "bob.zip", ("gstage.py", ""))
        (many / "notes.txt").write_text("")
        folder(many / ".git")
        alone = folder(tmp_path / "carl", gstage_py="")
        assert [each.name for each in collect([many, alone], self.LAB)] == ["ann", "bob", "carl"]

    def test_the_same_name_twice(self, tmp_path: Path) -> None:
        for top in "ab":
            folder(tmp_path / top / "ann", gstage_py="")
        with pytest.raises(ConfigError, match="two submissions are called ann"):
            collect([tmp_path / "a", tmp_path / "b"], self.LAB)

    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="there is no submission"):
            collect([tmp_path], self.LAB)
        with pytest.raises(ConfigError, match="no such file"):
            collect([tmp_path / "x"], self.LAB)

    def test_shards_are_everything_once(self) -> None:
        numbers = list(range(10))
        parts = [shard(numbers, part, 3) for part in (1, 2, 3)]  # type: ignore[arg-type]
        assert sorted(sum(parts, [])) == numbers  # type: ignore[arg-type,type-var]


def test_digest_tells_contents_apart() -> None:
    contents = [{"a": "bc"}, {"ab": "c"}, {"a": "b", "c": ""}, {}, {"a": "bc", "": ""}]
    assert len({digest(files) for files in contents}) == len(contents)
    assert digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"})
    assert submission.MOST_FILES == 32
