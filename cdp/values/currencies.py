"""Currencies: the codes of ISO 4217, and what else shops write for them. ``docs/import.md#currencies`` has the table."""

import unicodedata
from typing import Any

_ISO_4217 = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG
XOF XPF YER ZAR ZMW ZWG
"""
_WITHDRAWN = """
ATS BEF CYP DEM EEK ESP FIM FRF GRD HRK IEP ITL LTL LUF LVL MTL NLG PTE SIT SKK BYR CUC MRO ROL SLL STD TRL VEB VEF ZMK ZWL
"""
CURRENCIES = frozenset(_ISO_4217.split())
WITHDRAWN = frozenset(_WITHDRAWN.split())
"""Codes that old orders still have."""

OTHER_NAMES = {
    "RMB": "CNY", "CNH": "CNY", "人民币": "CNY", "NTD": "TWD",
    "US$": "USD", "HK$": "HKD", "NT$": "TWD", "€": "EUR", "£": "GBP", "₩": "KRW", "₹": "INR",
}  # fmt: skip
"""What names one currency without being its code. ¥, $ and 元 name several."""


def read_currency(value: Any) -> str:
    """The code of a currency in capitals. Raises ValueError with the reason."""
    if not isinstance(value, str):
        raise ValueError("a currency is a text such as CNY")
    name = unicodedata.normalize("NFKC", value).strip().upper()
    code = OTHER_NAMES.get(name, name)
    if code not in CURRENCIES and code not in WITHDRAWN:
        raise ValueError(f"{value.strip()[:20]!r} is no ISO 4217 currency")
    return code


def name_currency(value: Any) -> str:
    """The code of a currency, or what was written, in capitals, if it has none; "" if nothing was."""
    if not isinstance(value, str):
        return ""
    try:
        return read_currency(value)
    except ValueError:
        return value.strip().upper()[:8]
