from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp.pdu import Deliver, decode_deliver, encode_deliver
from smpp.receipts import Receipt, ReceiptStatus, format_receipt, parse_receipt

NOON = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)  # receipts tell minutes


def receipt(text: str, tlvs: dict[int, bytes] | None = None, esm_class: int = 4) -> Receipt | None:
    return parse_receipt(Deliver("+61400000000", "Shop", text.encode(), 0, esm_class, tlvs or {}))


@pytest.mark.parametrize(
    "text",
    [
        "id:ab_1 sub:001 dlvrd:001 submit date:2611211159 done date:2611211200 stat:DELIVRD err:000 text:Hi",
        "ID:ab_1 SUB:001 DLVRD:001 SUBMIT DATE:2611211159 DONE DATE:2611211200 STAT:DELIVRD ERR:000 TEXT:Hi",
        "id: ab_1 sub: 1 dlvrd: 1 submit date: 2611211159 done date: 2611211200 stat: delivered err: 000 text: id:9",
        "id:ab_1  stat:DELIVRD  done_date:20261121120000  err:000",
        "stat:DELIVRD err:000 done date:261121120000 id:ab_1 text:stat:EXPIRED id:7",
    ],
)
def test_text_receipts_are_read_in_any_case_spacing_and_order(text):
    found = receipt(text)
    assert found == Receipt("ab_1", ReceiptStatus.DELIVERED, "000", datetime(2026, 11, 21, 12, tzinfo=UTC), text)


@pytest.mark.parametrize(
    ("text", "carrier_id", "status", "error"),
    [
        ("id: sub:001 dlvrd:001 stat:DELIVRD err: text:x", "", "DELIVRD", ""),
        ("id:text sub:001 stat:DELIVRD err:0A1", "text", "DELIVRD", "0A1"),
        ("id:12:34 stat:UNDELIV err:12:34", "12:34", "UNDELIV", "12:34"),
        ("id:00012 sub:001 dlvrd:000 submit date: done date: stat:EXPIRED err:", "00012", "EXPIRED", ""),
        ("err:7 stat:rejectd dlvrd:000 sub:001 id:9f Text:\x80\xff\0 id:1 stat:DELIVRD", "9f", "REJECTD", "7"),
        ("stat:UNDELIV", "", "UNDELIV", ""),
        ("id:9", "9", "UNKNOWN", ""),
        ("id:9 dlvrd:001 done date:261121", "9", "UNKNOWN", ""),
    ],
)
def test_missing_empty_and_odd_fields_are_read_for_what_they_say(text, carrier_id, status, error):
    found = parse_receipt(Deliver("1", "2", text.encode("latin-1"), esm_class=4))
    assert (found.carrier_id, found.status, found.error_code) == (carrier_id, status, error)


@pytest.mark.parametrize("data_coding", [0, 1, 3, 4, 8, 0xF1])
def test_a_receipt_in_ascii_is_read_whatever_alphabet_it_claims(data_coding):
    found = parse_receipt(Deliver("1", "2", b"id:ab_1@x sub:001 stat:DELIVRD err:000 text:", data_coding, 4))
    assert (found.carrier_id, found.status) == ("ab_1@x", "DELIVRD")


def test_a_receipt_that_is_really_in_ucs2_is_read_too():
    found = parse_receipt(Deliver("1", "2", "id:5 stat:UNDELIV err:001".encode("utf-16-be"), 8, 4))
    assert (found.carrier_id, found.status, found.error_code) == ("5", "UNDELIV", "001")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("ENROUTE", ReceiptStatus.ENROUTE),
        ("EXPIRED", ReceiptStatus.EXPIRED),
        ("DELETED", ReceiptStatus.DELETED),
        ("UNDELIV", ReceiptStatus.UNDELIVERABLE),
        ("Undelivered", ReceiptStatus.UNDELIVERABLE),
        ("FAILED", ReceiptStatus.UNDELIVERABLE),
        ("ACCEPTD", ReceiptStatus.ACCEPTED),
        ("REJECTED", ReceiptStatus.REJECTED),
        ("", ReceiptStatus.UNKNOWN),
        ("whatever", ReceiptStatus.UNKNOWN),
    ],
)
def test_each_word_for_a_state_is_understood(word, status):
    assert receipt(f"id:1 stat:{word} err:001").status is status


def test_optional_parameters_win_over_the_text():
    found = receipt("id:12 stat:DELIVRD", {0x1E: b"0c\0", 0x427: b"\x05", 0x423: b"\x03\x00\x0b"})
    assert (found.carrier_id, found.status, found.error_code) == ("0c", ReceiptStatus.UNDELIVERABLE, "011")


def test_optional_parameters_alone_make_a_receipt_even_without_esm_class():
    found = receipt("", {0x1E: b"0c\0", 0x427: b"\x02"}, esm_class=0)
    assert found == Receipt("0c", ReceiptStatus.DELIVERED, "", None, "")


def test_an_inbound_message_is_no_receipt():
    assert receipt("id:1 stat:DELIVRD", esm_class=0) is None
    assert receipt("STOP", esm_class=0x40) is None


def test_an_unreadable_receipt_is_kept_with_its_text():
    assert receipt("gibberish done date:9999999999") == Receipt(
        "", ReceiptStatus.UNKNOWN, "", None, "gibberish done date:9999999999"
    )


def test_only_states_after_which_nothing_follows_are_final():
    assert {status for status in ReceiptStatus if not status.final} == {"ENROUTE", "ACCEPTD", "UNKNOWN"}


@given(
    carrier_id=st.from_regex(r"[0-9a-f]{1,12}-[0-9]{1,8}", fullmatch=True),
    status=st.sampled_from(ReceiptStatus),
    error=st.from_regex(r"[0-9]{3}", fullmatch=True),
    text=st.text(max_size=40),
)
def test_what_is_formatted_is_parsed_the_same(carrier_id, status, error, text):
    sent = format_receipt(
        Receipt(carrier_id, status, error, NOON, ""),
        source="+61400000000",
        destination="Shop",
        submitted_at=NOON,
        text=text,
    )
    found = parse_receipt(decode_deliver(encode_deliver(sent, 9)))
    assert (found.carrier_id, found.status, found.error_code, found.done_at) == (carrier_id, status, error, NOON)
    bare = parse_receipt(Deliver(sent.source, sent.destination, sent.payload, esm_class=4))
    assert (bare.carrier_id, bare.status, bare.error_code, bare.done_at) == (carrier_id, status, error, NOON)


_ODD = st.text(alphabet="aB0_:-. \ttextidsa²é", max_size=6)


@given(_ODD, st.text("0159é", max_size=6), st.sampled_from([10, 12, 14]), _ODD, _ODD, st.booleans())
def test_the_usual_form_is_read_as_every_other_form_is(carrier_id, count, length, word, error, is_upper):
    text = (
        f"id:{carrier_id} sub:{count} dlvrd:{count} submit date:2611211207 done date:{'20261121120700'[-length:]}"
        f" stat:{word} err:{error} text:id:7 stat:DELIVRD"
    )
    found = receipt(text.upper() if is_upper else text)
    general = receipt(" " + (text.upper() if is_upper else text))  # what begins otherwise is not of that form
    assert found._replace(raw="") == general._replace(raw="")


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=200), st.binary(max_size=5))
def test_no_deliver_of_a_carrier_raises(data_coding, esm_class, payload, value):
    tlvs = {0x1E: value, 0x427: value, 0x423: value}
    assert parse_receipt(Deliver("1", "2", payload, data_coding, esm_class, tlvs)) is not None
