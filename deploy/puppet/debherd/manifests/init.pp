# @summary debherd on this machine: an apt proxy that shares packages with the fleet
#
# Puts the configuration, the fleet key, the systemd units and apt's probe in place. apt goes
# through debherd while it answers and directly while it does not. Needs no other module.
#
# @example A fleet
#   class { 'debherd':
#     fleet_key => Sensitive(lookup('debherd_fleet_key')),
#     trackers  => ['https://tracker.example:3144'],
#   }
#
# @param ensure
#   `absent` removes all that this class put in place, and the cache with it.
# @param fleet_key
#   The secret of the fleet, 16 characters or more (`openssl rand -hex 32`). In Hiera it may be a
#   plain string. Without it the machine is alone and talks to no other.
# @param trackers
#   Trackers of the fleet. They are needed to meet, not to keep working.
# @param tracker_listen
#   Host a tracker in this daemon, at this address (`0.0.0.0:3144`).
# @param peer_listen
#   Where the other machines of the fleet reach this one: TCP, and UDP for the DHT.
# @param cache_max
#   The most disk space that the cache may take. Unset: the daemon's own default.
# @param source
#   Absolute path of an unpacked tree of debherd with its node_modules. Set: /usr/bin/debherd
#   starts that tree and no package is managed.
# @param manage_package
#   Install the Debian package. False: the software gets there some other way.
# @param package_ensure
#   `installed`, `latest` or a version.
# @param package_source
#   Absolute path of a .deb on this machine, for fleets without an archive of their own.
# @param manage_service
#   Start and enable the units. False where systemd does not run, such as an image being built.
class debherd (
  Enum['present', 'absent']           $ensure         = 'present',
  Optional[Sensitive[String]]         $fleet_key      = undef,
  Array[Debherd::Tracker]             $trackers       = [],
  Optional[Debherd::Address]          $tracker_listen = undef,
  Debherd::Address                    $peer_listen    = '0.0.0.0:3143',
  Optional[Debherd::Size]             $cache_max      = undef,
  Optional[Debherd::Path]             $source         = undef,
  Boolean                             $manage_package = true,
  String[1]                           $package_ensure = 'installed',
  Optional[Debherd::Path]             $package_source = undef,
  Boolean                             $manage_service = true,
) {
  # Puppet does not look at the length of what is inside a Sensitive.
  if $fleet_key and length($fleet_key.unwrap) < 16 {
    fail('debherd: fleet_key is too short, at least 16 characters (openssl rand -hex 32)')
  }

  contain debherd::install
  contain debherd::config
  contain debherd::service

  # apt asks the probe as soon as it is configured, so the proxy comes first and goes last.
  if $ensure == 'present' {
    Class['debherd::install'] -> Class['debherd::config'] -> Class['debherd::service']
  } else {
    Class['debherd::service'] -> Class['debherd::config'] -> Class['debherd::install']
  }
}
