"""A submit_sm is spliced from what a batch shares and its recipient; the codec's own encoding is the measure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpp34 import SubmitSm

from smpp.pdu import Address, PduError, Status, Submit, address, decode_submit, encode_submit
from smpp.text import EncodedPart

_PARTS = st.builds(EncodedPart, st.sampled_from([0, 8]), st.sampled_from([0, 0x40]), st.binary(max_size=254))


@given(
    source=st.sampled_from(["", "Shop", "12345", "+61400000000"]),
    recipients=st.lists(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), min_size=2, max_size=3),
    part=_PARTS,
    period=st.sampled_from(["", "261121120000000+"]),
    registered=st.integers(0, 2),
    sequence=st.integers(1, 0x7FFFFFFF),
)
def test_every_submit_of_a_batch_is_what_the_codec_makes_of_it(source, recipients, part, period, registered, sequence):
    shown = address(source)
    for recipient in recipients:
        submit = Submit(source, recipient, part, registered, period)
        own = encode_submit(submit, shown, address(recipient), sequence)
        assert own == SubmitSm(
            shown.text, recipient[1:], part.payload, source_addr_ton=shown.ton, source_addr_npi=shown.npi,
            dest_addr_ton=1, dest_addr_npi=1, esm_class=part.esm_class, data_coding=part.data_coding,
            validity_period=period, registered_delivery=registered, sequence_number=sequence,
        ).encode()  # fmt: skip
        assert decode_submit(own).destination == recipient


def test_submits_that_differ_in_anything_but_the_recipient_share_nothing():
    part, to = EncodedPart(0, 0, b"Hi"), address("+61400000000")
    variants = [
        Submit("Shop", "+61400000000", part), Submit("Shop", "+61400000000", part, 0),
        Submit("Shop", "+61400000000", part, priority=2), Submit("Shop", "+61400000000", part, service_type="WAP"),
        Submit("Shop", "+61400000000", part, tlvs=((0x1403, b"x"),)),
        Submit("Shop", "+61400000000", EncodedPart(0, 0, b"x" * 300)),
    ]  # fmt: skip
    read = [decode_submit(encode_submit(one, address("Shop"), to, 1)) for one in variants * 2]
    assert read[:6] == read[6:]
    assert [one.priority for one in read[:6]] == [0, 0, 2, 0, 0, 0]
    assert [one.service_type for one in read[:6]] == ["", "", "", "WAP", "", ""]
    assert (read[1].registered_delivery, read[4].tlvs, len(read[5].part.payload)) == (0, ((0x1403, b"x"),), 300)
    plan = encode_submit(variants[0], Address(5, 1, "Shop"), Address(2, 8, "0400000000"), 1)
    assert plan[17:29] == b"\5\1Shop\0\2\x080400"[:12]


@pytest.mark.parametrize(
    ("submit", "status"),
    [
        (Submit("Shop", "", EncodedPart(0, 0, b"")), Status.ESME_RINVDSTADR),
        (Submit("Shop", "4" * 21, EncodedPart(0, 0, b"")), Status.ESME_RINVDSTADR),
        (Submit("a sender too long", "+614", EncodedPart(0, 0, b"")), Status.ESME_RINVSRCADR),
        (Submit("Shop", "+614", EncodedPart(0, 0, b""), service_type="TOOLONG"), Status.ESME_RINVSERTYP),
        (Submit("Shop", "+614", EncodedPart(0, 0, b""), validity_period="tomorrow"), Status.ESME_RINVEXPIRY),
    ],
)
def test_what_does_not_fit_is_refused_each_time(submit, status):
    for _ in range(2):
        with pytest.raises(PduError) as caught:
            encode_submit(submit, address(submit.source), address(submit.destination), 1)
        assert caught.value.status == status
