# @summary Where to listen: an IPv4 address or a bracketed IPv6 address, and a port.
type Debherd::Address = Pattern[/\A(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\]):\d{1,5}\z/]
