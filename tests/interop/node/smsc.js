// An SMSC made with the package `smpp`: `node smsc.js PASSWORD` prints what happens as one JSON object a line, the port
// first, and lets a phone text for every line {"phone", "to", "text"} that it reads. Ids are hexadecimal in answers and
// decimal with leading zeros in receipts, as many a carrier's. The last four digits of a recipient say what happens, as
// in docs/simulator.md.
"use strict";

const readline = require("readline");
const smpp = require("smpp");

const password = process.argv[2];
const throttled = new Map();
let session = null;
let count = 0;

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

function sendReceipt(to, submit, number) {
  const failed = submit.destination_addr.endsWith("0002");
  const words = failed ? "dlvrd:000 submit date:2611221200 done date:2611221201 stat:UNDELIV err:042"
    : "dlvrd:001 submit date:2611221200 done date:2611221201 stat:DELIVRD err:000";
  to.deliver_sm({
    source_addr_ton: 1, source_addr_npi: 1, source_addr: submit.destination_addr,
    destination_addr: submit.source_addr, esm_class: 4,
    short_message: `id:${String(number).padStart(10, "0")} sub:001 ${words} text:`,
  }, (answer) => say({event: "acknowledged", number, status: answer.command_status}));
}

function refusal(recipient) {
  if (recipient.endsWith("0001")) return smpp.ESME_RSUBMITFAIL;
  const seen = throttled.get(recipient) || 0;
  if (!recipient.endsWith("0006") || seen >= 2) return smpp.ESME_ROK;
  throttled.set(recipient, seen + 1);
  return smpp.ESME_RTHROTTLED;
}

function takeSubmit(from, pdu) {
  const status = refusal(pdu.destination_addr);
  if (status !== smpp.ESME_ROK) {
    from.send(pdu.response({command_status: status}));
    return;
  }
  const number = 4096 + 171 * ++count;
  const {message, udh} = pdu.short_message;
  say({
    event: "accepted", to: pdu.destination_addr, from: pdu.source_addr, text: message, coding: pdu.data_coding,
    part: udh && udh.length ? [...udh[0]] : null,
  });
  const isEarly = pdu.destination_addr.endsWith("0007");
  if (isEarly) sendReceipt(from, pdu, number);
  setTimeout(() => {
    from.send(pdu.response({message_id: number.toString(16).toUpperCase()}));
    if (!isEarly) sendReceipt(from, pdu, number);
    if (pdu.destination_addr.endsWith("0008")) sendReceipt(from, pdu, number);
  }, isEarly ? 200 : 0);
}

const server = smpp.createServer((made) => {
  made.on("error", (error) => say({event: "error", error: String(error)}));
  made.on("bind_transceiver", (pdu) => {
    if (pdu.password !== password) {
      made.send(pdu.response({command_status: smpp.ESME_RINVPASWD}));
      made.close();
      return;
    }
    made.send(pdu.response({system_id: "node"}));
    session = made;
    say({event: "bound", system_id: pdu.system_id, version: pdu.interface_version});
  });
  made.on("enquire_link", (pdu) => made.send(pdu.response()));
  made.on("submit_sm", (pdu) => takeSubmit(made, pdu));
  made.on("unbind", (pdu) => {
    say({event: "unbound"});
    made.send(pdu.response());
    made.close();
  });
});

server.listen(0, "127.0.0.1", () => say({event: "listening", port: server.address().port}));
readline.createInterface({input: process.stdin}).on("line", (line) => {
  const {phone, to, text} = JSON.parse(line);
  session.deliver_sm({
    source_addr_ton: 1, source_addr_npi: 1, source_addr: phone, dest_addr_ton: 1, dest_addr_npi: 1,
    destination_addr: to, short_message: text,
  }, (answer) => say({event: "taken", status: answer.command_status}));
});
