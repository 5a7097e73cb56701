"""The voice database: who may be spoken as, with which features, with whose consent."""
