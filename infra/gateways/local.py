"""The keys of the gateways simulated on this machine: both sides read them here, and `keys.py` sees to it that
they open nothing else."""

RAZORPAY_KEY_ID = "rzp_test_simulated"
RAZORPAY_KEY_SECRET = "simulated-key-secret"
RAZORPAY_WEBHOOK_SECRET = "simulated-webhook-secret"
STRIPE_SECRET_KEY = "sk_test_simulated"
STRIPE_WEBHOOK_SECRET = "whsec_simulated"
