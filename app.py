"""Everything on one machine: `python app.py` serves phones, CRMs and operators, and delivers webhooks."""

import sys

from smsgw import server

if __name__ == "__main__":
    sys.exit(server.main())
