"""What deleted rows leave in a file is seen wherever it lies, and what living rows hold is not."""

import random
import sqlite3
from contextlib import closing

import pytest

from visavis.gallery import leftovers
from visavis.gallery.leftovers import Words, holds


def made(path, dice, rows, page=1024):
    """A file whose rows come, change and go, as SQLite leaves it: all words, and the living."""
    ever, living = {}, {}
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for pragma in (f"page_size={page}", "secure_delete=OFF", "journal_mode=OFF"):
            file.execute(f"PRAGMA {pragma}")
        file.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, pad BLOB)")
        file.execute("CREATE INDEX words ON t (word)")
        for number in range(rows):
            word = f"{dice.getrandbits(64):016x}"
            pad = bytes(dice.choice([0, 30, 300, 3000]))
            file.execute("INSERT INTO t VALUES (?,?,?)", (number, word, pad))
            ever[number] = living[number] = word
            if dice.random() < 0.5:
                gone = dice.choice(list(living))
                if dice.random() < 0.7:
                    file.execute("DELETE FROM t WHERE id = ?", (gone,))
                else:
                    file.execute("UPDATE t SET word = '' WHERE id = ?", (gone,))
                del living[gone]
        file.execute("CREATE TABLE gone (word TEXT)")
        for number in range(rows, rows + 60):
            ever[number] = f"{dice.getrandbits(64):016x}"
            file.execute("INSERT INTO gone VALUES (?)", (ever[number] * 3,))
        file.execute("DROP TABLE gone")
    return set(ever.values()), set(living.values())


@pytest.mark.parametrize("seed", range(4))
def test_a_dead_word_is_seen_where_the_file_holds_it_and_a_living_one_never(tmp_path, seed):
    path = tmp_path / "file"
    ever, living = made(path, random.Random(seed), 120, page=(512, 1024, 4096, 65536)[seed])
    data = path.read_bytes()
    dead = {word.encode() for word in ever - living}
    left = {word for word in dead if word in data}
    assert len(left) > 10
    some = sorted(dead)[:40]
    assert [holds(path, Words([word])) for word in some] == [word in left for word in some]
    assert holds(path, Words(dead))
    assert not holds(path, Words(dead - left))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("VACUUM")
    alive = {word.encode() for word in living}
    assert alive
    assert all(word in path.read_bytes() for word in alive)
    assert not holds(path, Words(dead | alive))


def test_the_search_of_unused_parts_can_fail(tmp_path, monkeypatch):
    """Without the chain of free pages, or what free blocks hold, dead words are missed."""
    path = tmp_path / "file"
    ever, living = made(path, random.Random(1), 120)
    dead = [word.encode() for word in sorted(ever - living)[::3]]

    def seen():
        return sum(holds(path, Words([word])) for word in dead)

    whole = seen()
    monkeypatch.setattr(leftovers, "_free_pages", lambda *_: set())
    without_pages = seen()
    monkeypatch.setattr(leftovers, "_unused", lambda page, start: [])
    assert whole > without_pages > seen()


@pytest.mark.parametrize("block", [1, 3000, 1 << 20])
def test_pages_are_whole_whatever_is_read_at_a_time(tmp_path, monkeypatch, block):
    path = tmp_path / "file"
    ever, living = made(path, random.Random(2), 40)
    data = path.read_bytes()
    monkeypatch.setattr(leftovers, "BLOCK", block)
    for word in sorted(ever - living)[::4]:
        assert holds(path, Words([word.encode()])) == (word.encode() in data)


@pytest.mark.parametrize("at", [*range(100, 112), 2000, 5000])
def test_a_page_that_makes_no_sense_is_searched_whole(tmp_path, at):
    path = tmp_path / "file"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE t (word TEXT)")
        file.executemany("INSERT INTO t VALUES (?)", [(f"word {n:04}",) for n in range(900)])
        file.commit()
    data = bytearray(path.read_bytes())
    data[at : at + 2] = b"\xff\xff"
    path.write_bytes(data)
    assert isinstance(holds(path, Words([b"word 0001"])), bool)  # and no error
    data[4096:] = b"\xff" * (len(data) - 4096 - 9) + b"word 0001"
    path.write_bytes(data)
    assert holds(path, Words([b"word 0001"]))


LENGTHS = [1, 2, 3, 4, 6, 7, 8, 14, 15, 16, 40]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("shift", range(9))
def test_a_word_is_seen_at_every_place(length, shift, monkeypatch):
    monkeypatch.setattr(leftovers, "SEARCHED", 16)
    word = bytes(range(1, length + 1))
    others = [bytes(range(100, 100 + other)) for other in LENGTHS]
    words = Words([word, *others, b""])
    assert len(words) == len(LENGTHS) + 1
    for tail in (0, 1, 33):
        text = bytes(23 + shift) + word + bytes(tail)
        assert words.within(text)
        assert not words.within(text.replace(word, word[:-1] + b"\xff"))
        assert not words.within(word[1:] + bytes(tail))


def test_of_many_words_each_is_seen():
    dice = random.Random(0)
    words = [dice.randbytes(dice.randint(3, 20)) for _ in range(3000)]
    search = Words(words)
    noise = dice.randbytes(20_000)
    for word in words[::50]:
        assert search.within(noise[: dice.randint(0, 99)] + word + noise[:9])
    assert Words([]).within(noise) is False
    assert len(Words([])) == 0
