"""The app with phones, CRMs and readers in one process; writes down what each was told: `program.py ROUNDS SEED`."""

import base64
import json
import os
import random
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.factory import create_app

HEADER = struct.Struct("<ccIQI")
PHONES = 2


class AnswerLog:
    """Appends to the recorder's log, in the order in which things happen."""

    def __init__(self) -> None:
        self._log = os.open(os.environ["RECORDER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str, ids: list[str]) -> None:
        """Notes that somebody has just been told of these: `there` or `refused`, with the table and the column."""
        data = json.dumps([what, ids]).encode()
        os.write(self._log, HEADER.pack(b"S", b"\0", 0, 0, len(data)) + data)


class Callers:
    """A client of the app for each thread, and what it was answered."""

    def __init__(self, rounds: int, seed: int) -> None:
        self.app = create_app()
        self.answered = AnswerLog()
        self.rounds, self.seed = rounds, seed
        database = self.app.extensions["smsgw"].database
        with database.transaction() as session:
            self.crm = {
                "Authorization": f"Bearer {crms.add(session, f'crm-{seed}', None, clock.now())[1]}"
            }
            self.phones = [
                self._phone(session, f"phone-{seed}-{number}") for number in range(PHONES)
            ]

    def _phone(self, session: Any, name: str) -> dict[str, str]:
        _, password = enrolment.add_with_password(session, name, None, None, clock.now())
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def phone(self, number: int) -> None:
        client, updates = self.app.test_client(), []
        for round_number in range(self.rounds):
            sms = {
                "id": f"{self.seed}-{number}-{round_number}",
                "from": "+491511",
                "content": "hello",
                "sms_sent": 0,
                "sms_received": 1,
            }
            body = {"messages": [sms], "updates": updates}
            answer = client.post("/api/sms", json=body, headers=self.phones[number])
            if answer.status_code != 200:
                continue
            self.answered.note("inbound", [sms["id"]])
            self.answered.note("acknowledged", [update["id"] for update in updates])
            handed = [one["id"] for one in answer.json["messages"]]
            self.answered.note("dispatches", handed)
            updates = [
                {"id": one, "status": word} for one in handed for word in ("PENDING", "SENT")
            ]

    def sender(self, number: int) -> None:
        client = self.app.test_client()
        for round_number in range(self.rounds):
            content = f"{self.seed}.{number}.{round_number}"
            draft = {"to": "+4915112345678", "content": content}
            if number % 2:
                draft["reference"] = content
            answer = client.post("/api/v1/messages", json=draft, headers=self.crm)
            if answer.status_code == 202:
                self.answered.note("messages", [answer.json["id"]])
            else:
                self.answered.note("refused", [content])

    def reader(self) -> None:
        client, after = self.app.test_client(), ""
        for _ in range(2 * self.rounds):
            events = client.get(f"/api/v1/events?after={after}", headers=self.crm)
            if events.status_code == 200:
                self.answered.note("events", [one["id"] for one in events.json["data"]])
                after = events.json["next_cursor"] or ""
            page = client.get("/api/v1/messages?limit=20", headers=self.crm)
            if page.status_code == 200:
                self.answered.note("messages", [one["id"] for one in page.json["data"]])


def main() -> None:
    rounds, seed = int(sys.argv[1]), int(sys.argv[2])
    callers = Callers(rounds, seed)
    threads = [threading.Thread(target=callers.phone, args=(number,)) for number in range(PHONES)]
    threads += [threading.Thread(target=callers.sender, args=(number,)) for number in range(3)]
    threads.append(threading.Thread(target=callers.reader))
    for thread in threads:
        thread.start()
    chance, fault = random.Random(seed), Path(os.environ["RECORDER_FAULT"])
    while any(thread.is_alive() for thread in threads):
        fault.touch()
        threads[0].join(chance.uniform(0.1, 0.4))
    fault.unlink(missing_ok=True)
    callers.app.extensions["smsgw"].database.close()


if __name__ == "__main__":
    main()
