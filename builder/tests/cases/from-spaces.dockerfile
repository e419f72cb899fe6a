FROM   scratch	AS	 a  
