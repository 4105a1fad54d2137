import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp.receipt_ids import MOST_IDS, WIDTHS, IdFormat, as_in_receipt, likely_ids, receipt_ids

NUMBERS = st.integers(0, 2**63)
FILLED = st.sampled_from((0, *WIDTHS))
PADDING = st.integers(0, 40)


@pytest.mark.parametrize(
    ("form", "answer", "receipt"),
    [
        ("as_is", "00000123", "123"),
        ("as_is", "123", "0000000123"),
        ("as_is", "AB-12_X", "ab-12_x"),
        ("as_is", "7FA0", "7Fa0"),
        ("as_is", "id 7", " id 7 "),
        ("as_is", "0", "000"),
        ("hex_to_decimal", "7fa0", "32672"),
        ("hex_to_decimal", "7FA0", "0000032672"),
        ("hex_to_decimal", "00007FA0", "32672"),
        ("hex_to_decimal", "7fa0", "7FA0"),
        ("hex_to_decimal", "not-a-number", "not-a-number"),
        ("decimal_to_hex", "32672", "7fa0"),
        ("decimal_to_hex", "0000032672", "0x7FA0"),
        ("decimal_to_hex", "msg-7", "msg-7"),
    ],
)
def test_the_answers_id_is_among_those_that_a_receipt_may_mean(form, answer, receipt):
    assert answer in receipt_ids(receipt, form)


@pytest.mark.parametrize(
    ("form", "answer", "receipt"),
    [("hex_to_decimal", "10", "10"), ("decimal_to_hex", "10", "10"), ("as_is", "7fa0", "32672"), ("as_is", "1", "10")],
)
def test_another_messages_id_is_not(form, answer, receipt):
    assert answer not in receipt_ids(receipt, form)


def test_the_likeliest_comes_first():
    assert likely_ids("10", "hex_to_decimal") == ("a", "A")
    assert receipt_ids("10", "hex_to_decimal")[:2] == ("a", "A")
    assert receipt_ids("0a", "as_is")[:2] == ("0a", "a")
    assert likely_ids("", "as_is") == receipt_ids("", "as_is") == ("",)


def test_a_form_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="octal"):
        receipt_ids("1", "octal")


@given(NUMBERS, FILLED, PADDING, st.booleans(), st.booleans())
def test_number_systems_zeros_and_case_never_part_a_receipt_from_its_answer(number, before, after, upper, is_hex):
    hexadecimal = f"{number:X}" if upper else f"{number:x}"
    answer = (hexadecimal if is_hex else str(number)).zfill(before)
    receipt = (str(number) if is_hex else hexadecimal).zfill(after)
    form = IdFormat.HEX_TO_DECIMAL if is_hex else IdFormat.DECIMAL_TO_HEX
    assert answer in receipt_ids(receipt, form)
    assert answer.swapcase() in receipt_ids(answer.lstrip("0") or "0", IdFormat.AS_IS)


@given(st.text(max_size=100), st.sampled_from(IdFormat))
def test_anything_a_carrier_writes_gives_few_different_ids_and_never_an_error(raw, form):
    found = receipt_ids(raw, form)
    assert 1 <= len(found) <= MOST_IDS
    assert len(set(found)) == len(found)
    assert set(likely_ids(raw, form)) <= set(found) or len(raw) > 65 or len(raw.strip().upper()) > 65


@pytest.mark.parametrize("form", IdFormat)
@given(number=NUMBERS)
def test_an_answers_id_written_as_in_a_receipt_means_itself_and_first(form, number):
    for answered in (str(number), "msg-7") if form == "decimal_to_hex" else (f"{number:x}", f"{number:X}", "msg-7"):
        assert likely_ids(as_in_receipt(answered, form), form)[0].lower() == answered.lower()
        assert answered in likely_ids(as_in_receipt(answered, form), form)
