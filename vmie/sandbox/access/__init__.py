"""Who calls, what the call needs, and whether the account's policies allow it: asked before each call.

request ──► callers   which user, session or root, with which policies
        ──► asks      which actions on which resources, with which condition keys: one module per service
        ──► judge     vmie.policy.authorize on each; refusal in the service's own words
"""
