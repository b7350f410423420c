"""`python -m data_preprocess.iu_xray`."""

import sys

from medical_rl.data_preprocess.iu_xray import main

sys.exit(main())
