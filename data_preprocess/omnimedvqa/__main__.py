"""`python -m data_preprocess.omnimedvqa`."""

import sys

from medical_rl.data_preprocess.omnimedvqa import main

sys.exit(main())
