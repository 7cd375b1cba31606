#!/usr/bin/perl
# edge-purge PREFIX:      forgets everything whose path in the store (/BUCKET/KEY) begins so
# edge-purge --only PATH: forgets the one object of that path
#
# Prints how many files went. nginx goes on meanwhile: it takes a file that is gone for something that it never had. What is just
# being fetched is waited for and then goes, too, since it may be from before.
use strict;
use warnings;

my $cache = '/var/cache/edge/objects';
# Of nginx 1.26 on 64 bits: ngx_http_file_cache_header_t, after which comes the key.
my ($version, $key_begins) = (5, 336);
my ($settle_s, $patience_s) = (2, 60);

my $exactly = @ARGV == 2 && $ARGV[0] eq '--only' ? shift : undef;
my $wanted = shift;
die "usage: edge-purge PREFIX | --only PATH\n" unless defined $wanted && !@ARGV && $wanted =~ m{^/};

my $unknown = 0;
my $gone = forget();
unless ($exactly) {
    # The store may have been asked before this began, and not yet have answered.
    sleep $settle_s;
    my $until = time + $patience_s;
    sleep 1 while fetching() && time < $until;
    $gone += forget();
}
print "$gone\n";
die "$unknown files of the cache are in no form that is known here\n" if $unknown;
die "some of it is still being fetched: purge it again later\n" if !$exactly && fetching();

sub forget {
    my $count = 0;
    for (entries(qr/^[0-9a-f]{32}$/)) {
        $count += unlink if is_wanted($_);
    }
    return $count;
}

# What nginx is writing has the name of what it will be, and a number.
sub fetching {
    return scalar grep { is_wanted($_) } entries(qr/^[0-9a-f]{32}\.\d+$/);
}

# Two levels of folders, of one digit and of two.
sub entries {
    my ($name) = @_;
    my @found;
    for my $folder (map { inside($_, qr/^[0-9a-f]{2}$/) } inside($cache, qr/^[0-9a-f]$/)) {
        push @found, inside($folder, $name);
    }
    return @found;
}

sub inside {
    my ($folder, $name) = @_;
    opendir my $handle, $folder or return;
    return map { "$folder/$_" } grep { $_ =~ $name } readdir $handle;
}

# Its key is "CHUNK PATH", where a chunk is nothing or "bytes=FIRST-LAST".
sub is_wanted {
    my ($file) = @_;
    open my $handle, '<:raw', $file or return 0;
    my $read = read $handle, my $head, 4096;
    return 0 unless $read;
    if ($read < $key_begins + 6 || unpack('Q<', $head) != $version || substr($head, $key_begins, 6) ne "\nKEY: ") {
        $unknown++ if $file !~ /\.\d+$/;
        return 0;
    }
    my $ends = unpack('S<', substr $head, 54) - 1;
    my $key = substr $head, $key_begins + 6, $ends - $key_begins - 6;
    my $path = substr $key, 1 + index $key, ' ';
    return $exactly ? $path eq $wanted : index($path, $wanted) == 0;
}
