"""Money is an integer of minor units and an ISO 4217 code; the exponent says how many minor units make one."""

MINOR_UNITS_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
MINOR_UNITS_2 = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
    "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
    "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
)
MINOR_UNITS_3 = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS: dict[str, int] = {
    code: exponent
    for exponent, codes in ((0, MINOR_UNITS_0), (2, MINOR_UNITS_2), (3, MINOR_UNITS_3))
    for code in codes.split()
}
"""Currency code to exponent (ISO 4217, list one; funds, metals and test codes left out)."""

LARGEST_MAJOR_AMOUNT = 100_000_000
"""One payment's upper bound in major units of any currency: what no card, bank transfer or UPI payment exceeds."""


def largest_amount_minor(currency: str) -> int:
    return int(LARGEST_MAJOR_AMOUNT * 10 ** EXPONENTS[currency])
