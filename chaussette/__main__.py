"""`python -m chaussette` is the command `chaussette`."""

import sys

from chaussette.cli.chaussette import main

sys.exit(main())
