"""The settings document that Segment's browser SDK (@segment/analytics-next) asks its `cdnURL` for before it sends anything.

With `cdnURL` pointed at the platform, the document leads the SDK's events there as well: nothing else has to be changed.
"""

import msgspec

from serving.collect.draft import Answer

# By GET; `{write_key}` is taken as it is: a wrong one is noticed when the first event comes.
PATHS = ("/v1/projects/{write_key}/settings", "/v1/projects/{write_key}/settings/")

_EVERYTHING = {"__default": {"enabled": True, "integrations": {}}}


def settings(write_key: str, scheme: str, host: str) -> Answer:
    """The document for one write key.

    Args:
        scheme: ``http`` or ``https``, as the browser sees it.
        host: of the request, with its port.
    """
    document = {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{host}/v1",
                "protocol": scheme,
                "retryQueue": True,
                "addBundledMetadata": False,
                "unbundledIntegrations": [],
                "maybeBundledConfigIds": {},
                "versionSettings": {"componentTypes": ["browser"]},
            }
        },
        "plan": {"track": _EVERYTHING, "identify": {"__default": {"enabled": True}}, "group": {"__default": {"enabled": True}}},
        "metrics": {"sampleRate": 0, "host": f"{host}/v1"},  # without it the SDK reports on itself to its vendor
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "remotePlugins": [],
        "legacyVideoPluginsEnabled": False,
        "analyticsNextEnabled": True,
    }
    return Answer(msgspec.json.encode(document))
