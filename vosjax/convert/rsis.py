"""Names of the released RSIS checkpoints, encoder and decoder in one dict."""

from vosjax.convert.rvos import DECODER_RULES, encoder_rules

RULES = (
    *encoder_rules(5),
    *DECODER_RULES,
    *(
        rule
        for official, ours in (("fc_class", "classify"), ("fc_stop", "stop"))
        for rule in (
            (rf"decoder\.{official}\.weight", f"params/{ours}/kernel", "dense"),
            (rf"decoder\.{official}\.bias", f"params/{ours}/bias", "same"),
        )
    ),
)
