<?php
// SPDX-License-Identifier: Apache-2.0
// The page: a form to log in, or the list of those who are online.

session_start();
if (preg_match('/^\w{1,30}$/', $_POST['user'] ?? '')) {
    session_regenerate_id(true); // your site's own login, with a password, is here
    $_SESSION['user'] = $_POST['user'];
    header('Location: /', true, 303);
    exit;
}
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Who is online</title>
<?php if (!isset($_SESSION['user'])) { ?>
<form method="post">
  <label>Name <input name="user" required></label> <button>Log in</button>
</form>
<?php } else { ?>
<h1><span id="count"></span> online</h1>
<ul id="list"></ul>
<script src="/online.js"></script>
<?php } ?>
