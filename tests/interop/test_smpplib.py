"""The `smpplib` client against our server side."""

import logging
import time

import pytest
from smpplib import consts, gsm, smpp
from smpplib.client import Client
from smpplib.exceptions import PDUError

from smpp.inbound import TLV_SAR_REFERENCE, TLV_SAR_SEQUENCE, TLV_SAR_TOTAL
from smpp.pdu import Status
from smpp.text import decode_payload
from tests.interop.scene import EMOJI, LONG, LONG_GSM, PASSWORD, SHORT, BareServer, Carrier, until

pytestmark = pytest.mark.interop
DELIVRD = 2


class Peer:
    """A bound client that keeps what it hears."""

    def __init__(self, port: int, how: str = "transceiver", password: str = PASSWORD) -> None:
        logging.getLogger("smpplib").setLevel(logging.ERROR)
        self.answers: list[tuple[int, bytes | None]] = []  # status, id
        self.delivered: list = []
        self.states: list = []
        self.client = Client("127.0.0.1", port, timeout=5, allow_unknown_opt_params=True)
        self.client.set_message_sent_handler(self._answered)
        self.client.set_error_pdu_handler(lambda pdu: None)  # the answer's own handler is called all the same
        self.client.set_message_received_handler(lambda pdu, **_: self.delivered.append(pdu))
        self.client.set_query_resp_handler(lambda pdu, **_: self.states.append(pdu))
        self.client.connect()
        getattr(self.client, f"bind_{how}")(system_id="relay", password=password)

    def _answered(self, pdu, **_) -> None:
        self.answers.append((pdu.status, getattr(pdu, "message_id", None)))

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        if self.client.state != consts.SMPP_CLIENT_STATE_CLOSED:
            self.client.disconnect()

    def send(self, ending: str = "9999", **more) -> None:
        values = {
            "source_addr_ton": 5, "source_addr_npi": 0, "source_addr": "Shop", "dest_addr_ton": 1, "dest_addr_npi": 1,
            "destination_addr": f"6140000{ending}", "registered_delivery": 1,
        }  # fmt: skip
        self.client.send_message(**(values | more))

    def read_until(self, condition, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.answers[-3:], self.delivered[-3:])
            self.client.poll()
            time.sleep(0.005)


@pytest.mark.parametrize("how", ["transceiver", "transmitter", "receiver"])
def test_it_binds_and_unbinds_in_every_way_and_with_the_right_password_only(how):
    with BareServer() as carrier:
        with pytest.raises(PDUError) as refused:
            Peer(carrier.port, how, "wrong")
        assert refused.value.args[1] == Status.ESME_RINVPASWD
        with Peer(carrier.port, how) as peer:
            [session] = carrier.server.sessions
            assert (session.bind, session.system_id) == (how, "relay")
            if how == "receiver":
                with pytest.raises(PDUError):
                    peer.send(short_message=b"Hi")
            assert peer.client.unbind().command == "unbind_resp"
            until(lambda: session.close_reason == "the peer unbound")


def test_texts_of_every_kind_arrive_and_their_receipts_come_back(tmp_path):
    with Carrier(tmp_path) as carrier, Peer(carrier.port) as peer:
        for ending, text in (("1111", SHORT), ("2222", EMOJI), ("3333", LONG), ("4444", LONG_GSM)):
            parts, coding, esm_class = gsm.make_parts(text)
            for part in parts:
                peer.send(ending, short_message=part, data_coding=coding, esm_class=esm_class)
        peer.read_until(lambda: len(peer.answers) == len(peer.delivered) == len(carrier.accepted) > 4)
        assert {status for status, _ in peer.answers} == {0}
        assert sorted(pdu.receipted_message_id for pdu in peer.delivered) == sorted(one for _, one in peer.answers)
        assert {pdu.message_state for pdu in peer.delivered} == {DELIVRD}
        assert [carrier.text_to(ending) for ending in ("1111", "2222", "3333", "4444")] == [
            SHORT, EMOJI, LONG, LONG_GSM,
        ]  # fmt: skip
        until(lambda: carrier.outstanding == 0)


def test_long_texts_as_a_payload_and_in_segments_keep_their_parameters():
    with BareServer() as carrier, Peer(carrier.port) as peer:
        peer.send(short_message=b"", message_payload=b"p" * 259)
        for number, segment in enumerate((b"first ", b"second"), start=1):
            peer.send(short_message=segment, sar_msg_ref_num=777, sar_total_segments=2, sar_segment_seqnum=number)
        peer.read_until(lambda: len(peer.answers) == 3)
        payload, first, second = carrier.submits
        assert payload.part.payload == b"p" * 259
        tlvs = dict(second.tlvs)
        values = [int.from_bytes(tlvs[tag], "big") for tag in (TLV_SAR_REFERENCE, TLV_SAR_TOTAL, TLV_SAR_SEQUENCE)]
        assert values == [777, 2, 2]
        assert decode_payload(*first.part)[0] + decode_payload(*second.part)[0] == "first second"


def test_refusals_and_throttling_carry_their_status_and_a_query_its_state(tmp_path):
    with Carrier(tmp_path) as carrier, Peer(carrier.port) as peer:
        for ending in ("0001", "0006", "0006", "0006"):
            peer.send(ending, short_message=b"Hi")
        peer.read_until(lambda: len(peer.answers) == 4 and peer.delivered)
        refused = [status for status, _ in peer.answers[:3]]
        assert refused == [Status.ESME_RSUBMITFAIL, Status.ESME_RTHROTTLED, Status.ESME_RTHROTTLED]
        peer.client.query_message(
            message_id=peer.answers[3][1].decode(), source_addr_ton=5, source_addr_npi=0, source_addr="Shop"
        )
        peer.read_until(lambda: peer.states)
        assert (peer.states[0].message_id, peer.states[0].message_state) == (peer.answers[3][1], DELIVRD)


def test_texts_from_phones_are_taken_and_both_sides_keep_the_link_alive(tmp_path):
    with Carrier(tmp_path) as carrier:
        carrier.server._server.enquire_link_seconds = 0.05
        with Peer(carrier.port) as peer:
            carrier.text("+61491570156", "+61480000001", EMOJI)
            peer.read_until(lambda: peer.delivered)
            [pdu] = peer.delivered
            assert (pdu.source_addr, pdu.destination_addr) == (b"61491570156", b"61480000001")
            assert pdu.short_message.decode("utf-16-be") == EMOJI
            [session] = carrier.server.sessions
            asked = []
            peer.client._enquire_link_received = lambda pdu, answer=peer.client._enquire_link_received: (
                asked.append(pdu.sequence), answer(pdu),
            )  # fmt: skip
            peer.read_until(lambda: len(asked) >= 3)
            enquiry = smpp.make_pdu("enquire_link", client=peer.client)
            peer.client.send_pdu(enquiry)
            while (answer := peer.client.read_pdu()).command != "enquire_link_resp":
                assert answer.command == "enquire_link"
            assert answer.sequence == enquiry.sequence
            assert not session.closed


def test_a_thousand_submits_in_one_go_are_answered_each_with_an_id_of_its_own(tmp_path):
    with Carrier(tmp_path) as carrier, Peer(carrier.port) as peer:
        for number in range(1000):
            peer.send(f"{number + 1000}", short_message=b"bulk", registered_delivery=0)
        peer.read_until(lambda: len(peer.answers) == 1000)
        assert {status for status, _ in peer.answers} == {0}
        assert len({one for _, one in peer.answers}) == 1000
        assert len(carrier.accepted) == 1000
