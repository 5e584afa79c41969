# @summary The software and the user it runs as
# @api private
class debherd::install {
  $ensure = $debherd::ensure

  if $debherd::source {
    file { '/usr/bin/debherd':
      ensure  => $ensure,
      mode    => '0755',
      content => epp('debherd/debherd.sh.epp', { 'source' => $debherd::source }),
    }
  } elsif $debherd::manage_package {
    $package_ensure = $ensure ? {
      'present' => $debherd::package_ensure,
      default   => 'purged',
    }
    $provider = $debherd::package_source ? {
      undef   => undef,
      default => 'dpkg',
    }
    package { 'debherd':
      ensure   => $package_ensure,
      source   => $debherd::package_source,
      provider => $provider,
    }
  }

  group { 'debherd':
    ensure => $ensure,
    system => true,
  }
  user { 'debherd':
    ensure     => $ensure,
    system     => true,
    gid        => 'debherd',
    home       => '/var/lib/debherd',
    managehome => false,
    shell      => '/usr/sbin/nologin',
    comment    => 'debherd apt proxy',
  }

  if $ensure == 'present' {
    Group['debherd'] -> User['debherd']
  } else {
    User['debherd'] -> Group['debherd']
    # Puppet would otherwise copy the whole cache into its bucket first.
    file { '/var/lib/debherd':
      ensure => absent,
      force  => true,
      backup => false,
    }
  }
}
