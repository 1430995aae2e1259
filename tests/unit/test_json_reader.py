"""Reading JSON that somebody sent: what is taken, and the one line that says where it stops being JSON."""

import codecs
import json

import pytest

from smsgw import json_reader
from smsgw.json_reader import InvalidJson

READERS = [json_reader.read, json_reader.read_strictly, json_reader.read_tolerantly]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("text", ['{"a": "ü"}', ' \r\n{"a":\n"\\u00fc"}\t'])
def test_bytes_and_texts_are_read_with_and_without_a_byte_order_mark(read, text):
    for sent in (text, "\ufeff" + text, text.encode(), codecs.BOM_UTF8 + text.encode()):
        assert read(sent) == {"a": "ü"}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "line 1 column 1: there is no text"),
        (b" \n ", "line 1 column 1: there is no text"),
        (codecs.BOM_UTF8, "line 1 column 1: there is no text"),
        (b"{", "line 1 column 2: expecting property name enclosed in double quotes"),
        (b'{"to": "+12025550123",\n "content": hi}', "line 2 column 13: expecting value"),
        (b'{"a": 1} x', "line 1 column 10: extra data"),
        (b'{"a": 1 "b": 2}', "line 1 column 9: expecting ',' delimiter"),
        (b'{"a": "x', "line 1 column 7: unterminated string"),
        (b'{"a": "x\n"}', "line 1 column 9: invalid control character"),
        (b'{"a": "\\x"}', "line 1 column 8: invalid \\escape"),
        ('{"ü": "\udcff"}'.encode("utf-8", "surrogateescape"), "column 8: the byte 0xff is not"),
        (b'\n{"a": "gr\xfc\xdfe"}', "line 2 column 10: the byte 0xfc is not UTF-8"),
        (codecs.BOM_UTF8 + b'{"\xfc": 1}', "line 1 column 3: the byte 0xfc is not UTF-8"),
        (codecs.BOM_UTF8 + b"\xed\xa0\x80", "line 1 column 1: the byte 0xed is not UTF-8"),
        (b"to=%2B12025550123&content=x", "line 1 column 1: this is a form; send JSON"),
        (
            b'--boundary123\r\nContent-Disposition: form-data; name="to"',
            "this is a form; send JSON",
        ),
        (b"--5", "line 1 column 1: expecting value"),
        ('{"a": 1}'.encode("utf-16"), "line 1 column 1: this is UTF-16; send UTF-8"),
        ('{"a": 1}'.encode("utf-16-be"), "this is UTF-16 or UTF-32; send UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "this is UTF-16 or UTF-32; send UTF-8"),
        ('{"a": 1}'.encode("utf-32"), "this is UTF-32; send UTF-8"),
        (b"\x1f\x8b\x08\x00", "this is gzip without a Content-Encoding"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(read, text, said):
    with pytest.raises(InvalidJson) as error:
        read(text)
    assert str(error.value).startswith("invalid JSON")
    assert said in str(error.value)


@pytest.mark.parametrize("read", [json_reader.read, json_reader.read_strictly])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": "NaN",\n"b": NaN}', "line 2 column 6: NaN is no JSON"),
        ('["-Infinity\\"", -Infinity]', "line 1 column 17: -Infinity is no JSON"),
        ("[1, 1e999]", "line 1 column 5: the number is too large"),
        (f"[1, -{'9' * 5000}]", "line 1 column 5: the number is too large"),
    ],
)
def test_numbers_that_nobody_can_use_are_told_with_their_place(read, text, said):
    with pytest.raises(InvalidJson, match=r"^invalid JSON at") as error:
        read(text)
    assert said in str(error.value)


def test_a_phone_may_send_any_number():
    read = json_reader.read_tolerantly(b'{"a": 1e999, "b": 12, "c": NaN, "d": [-Infinity, 0.5]}')
    assert read == {"a": None, "b": 12, "c": None, "d": [None, 0.5]}
    assert json_reader.read_tolerantly(f"[{'9' * 5000}]") == [None]


def test_a_key_that_stands_twice_is_refused_where_the_reader_is_strict():
    text = b'{"to": "1", "content": "x", "to": "2"}'
    assert json_reader.read(text)["to"] == "2"
    with pytest.raises(InvalidJson, match="duplicate key 'to'"):
        json_reader.read_strictly(text)


def test_the_message_is_short_and_shows_no_values():
    secret = "crm_live_" + "0" * 64
    broken = [
        f'{{"apiKey": "{secret}" x}}',
        f'{{"apiKey": {secret}}}',
        f'{{"apiKey": "{secret}',
        json.dumps({"apiKey": secret})[:-1] + ', "b": NaN}',
        f'{{"apiKey": "{secret}", "{"k" * 9999}": 1, "{"k" * 9999}": 2}}',
    ]
    for text in broken:
        with pytest.raises(InvalidJson) as error:
            json_reader.read_strictly(text)
        assert "crm_live" not in str(error.value)
        assert len(str(error.value)) < 120
