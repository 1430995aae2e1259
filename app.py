"""Everything on one machine: `python app.py` serves phones, CRMs and operators, and delivers webhooks."""

import sys

from smsgw.server import supervisor

if __name__ == "__main__":
    sys.exit(supervisor.main())
