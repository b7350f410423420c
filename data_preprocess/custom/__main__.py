"""`python -m data_preprocess.custom`."""

import sys

from medical_rl.data_preprocess.custom import main

sys.exit(main())
